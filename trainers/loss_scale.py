"""The scale of a float16 loss."""

import tensorflow as tf

from trainers import local

_FIRST = 2.0**15
_DOUBLING_STEPS = 2000


class LossScale(tf.Module):
    """What a float16 loss is multiplied by, so that small gradients are not lost.

    Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740, section 3.2: halved when
    a gradient overflows, doubled after so many steps without.
    """

    def __init__(self) -> None:
        """Begins high; the first steps find what fits."""
        super().__init__()
        self.value = tf.Variable(_FIRST, trainable=False)
        self.good_steps = tf.Variable(0, dtype=tf.int64, trainable=False)

    def update(self, finite: tf.Tensor, live: tf.Tensor) -> None:
        """Moves the scale after a step, in the graph."""
        due = self.good_steps + 1 >= _DOUBLING_STEPS
        grown = tf.where(due, self.value * 2.0, self.value)
        value = tf.where(finite, grown, tf.maximum(self.value / 2.0, 1.0))
        good = tf.where(finite & ~due, self.good_steps + 1, 0)
        local.assign(self.value, tf.where(live, value, self.value))
        local.assign(self.good_steps, tf.where(live, good, self.good_steps))
