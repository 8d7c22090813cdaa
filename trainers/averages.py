"""A moving average of the weights, kept beside them and never over them.

Polyak and Juditsky 1992, doi:10.1137/0330046, but exponential: a = a + (1 - d) (w - a).
The decay d is held back at the beginning, min(decay, (1 + n) / (10 + n)) after n
updates, so that the initial weights do not linger.
"""

from collections.abc import Mapping

import tensorflow as tf

from trainers import local


class Average(tf.Module):
    """The average of named weights."""

    def __init__(self, weights: Mapping[str, tf.Variable]) -> None:
        """Begins with the weights as they are."""
        super().__init__()
        self.values = {
            name: tf.Variable(weight, trainable=False)
            for name, weight in weights.items()
        }

    def restart(self, weights: Mapping[str, tf.Variable]) -> None:
        """Begins again with the weights as they are."""
        for name, value in self.values.items():
            value.assign(weights[name])

    def update(
        self,
        weights: Mapping[str, tf.Variable],
        decay: tf.Variable,
        updates: tf.Tensor,
        live: tf.Tensor,
    ) -> None:
        """Moves towards the weights, or stays where it is, in the graph.

        Args:
            weights: As they are after the update.
            decay: How much of the average stays, float32 [].
            updates: Updates made, this one included; float32 [].
            live: Whether to move, bool [].
        """
        kept = tf.minimum(decay, (1 + updates) / (10 + updates))
        moved = tf.where(live, 1 - kept, 0.0)
        for name, weight in weights.items():
            value = self.values[name]
            local.assign_sub(value, tf.cast(moved, value.dtype) * (value - weight))
