"""What the steps since the last reading add up to."""

import tensorflow as tf

from pipeline import batching
from trainers import local, losses


class Totals(tf.Module):
    """Sums over the steps since the last reading, on the device until read."""

    def __init__(self) -> None:
        """Begins at 0."""
        super().__init__()
        self.sums = {
            name: tf.Variable(0.0, dtype=tf.float64) for name in losses.Losses._fields
        }
        self.sums |= {
            name: tf.Variable(0.0, dtype=tf.float64)
            for name in ("gradient_norm", "steps", "skipped", *batching.Counts._fields)
        }

    def count(
        self,
        counts: batching.Counts,
        sums: losses.Losses,
        norm: tf.Tensor,
        finite: tf.Tensor,
        live: tf.Tensor,
    ) -> None:
        """Adds a step, in the graph; a skipped one only as such, a trial not at all.

        Args:
            counts: Of its batch.
            sums: Of its losses.
            norm: Of its gradient, float [].
            finite: Whether that is finite, bool []; the step is skipped otherwise.
            live: Unset while memory is tried, bool [].
        """
        measured = {**sums._asdict(), "gradient_norm": norm, "steps": tf.constant(1.0)}
        counted = {
            name: tf.where(finite & live, value, tf.zeros_like(value))
            for name, value in measured.items()
        }
        others = {"skipped": tf.cast(~finite, tf.float32), **counts._asdict()}
        counted |= {
            name: tf.where(live, value, tf.zeros_like(value))
            for name, value in others.items()
        }
        for name, value in counted.items():
            local.assign_add(self.sums[name], tf.cast(value, tf.float64))

    def take(self) -> dict[str, float]:
        """Returns the sums and begins again at 0."""
        values = {name: float(variable.numpy()) for name, variable in self.sums.items()}
        for variable in self.sums.values():
            variable.assign(0.0)
        return values
