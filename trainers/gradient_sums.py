"""Gradients added up over the parts of a batch that does not fit in memory at once.

Sums of losses have gradients that add up; they are divided once, by the tokens of all
parts, so that the parts give the gradient of the whole.
"""

from collections.abc import Mapping

import tensorflow as tf

from pipeline import batching
from trainers import local, losses


class GradientSums(tf.Module):
    """What the parts so far add up to."""

    def __init__(self, weights: Mapping[str, tf.Variable]) -> None:
        """Begins at 0."""
        super().__init__()
        self.count = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.gradients = {
            name: tf.Variable(tf.zeros_like(weight), trainable=False)
            for name, weight in weights.items()
        }
        self.losses = [
            tf.Variable(0.0, dtype=tf.float64, trainable=False)
            for _ in losses.Losses._fields
        ]
        self.counts = [
            tf.Variable(0, dtype=tf.int64, trainable=False)
            for _ in batching.Counts._fields
        ]

    @property
    def _all(self) -> list[tf.Variable]:
        return [self.count, *self.gradients.values(), *self.losses, *self.counts]

    def add(
        self,
        gradients: Mapping[str, tf.Tensor],
        sums: losses.Losses,
        counts: batching.Counts,
    ) -> None:
        """Adds a part, in the graph."""
        local.assign_add(self.count, 1)
        for name, gradient in gradients.items():
            local.assign_add(self.gradients[name], gradient)
        for variable, value in zip(self.losses, sums, strict=True):
            local.assign_add(variable, tf.cast(value, variable.dtype))
        for variable, value in zip(self.counts, counts, strict=True):
            local.assign_add(variable, value)

    def clear(self) -> None:
        """Begins again at 0."""
        for variable in self._all:
            variable.assign(tf.zeros_like(variable))

    def take(
        self,
        gradients: Mapping[str, tf.Tensor],
        sums: losses.Losses,
        counts: batching.Counts,
        live: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], losses.Losses, batching.Counts]:
        """Returns the sums with the last part, and begins again at 0 if `live`."""
        whole = {
            name: self.gradients[name] + tf.convert_to_tensor(gradient)
            for name, gradient in gradients.items()
        }
        all_sums = losses.Losses(
            *(
                variable + tf.cast(value, variable.dtype)
                for variable, value in zip(self.losses, sums, strict=True)
            )
        )
        all_counts = batching.Counts(
            *(
                variable + value
                for variable, value in zip(self.counts, counts, strict=True)
            )
        )
        with tf.control_dependencies([*whole.values(), *all_sums, *all_counts]):
            for variable in self._all:
                zero = tf.zeros_like(variable)
                local.assign(variable, tf.where(live, zero, variable))
        return whole, all_sums, all_counts
