"""The one traced training step, and the step that only evaluates.

What changes during a run lives in variables that the traced functions close over: the
step, the learning rate, the totals since they were last read. So the input signature is
the batch and nothing else, and the function is traced once, whatever the buckets,
epochs, learning rate or evaluations in between.
"""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import tensorflow as tf

from pipeline import batching
from trainers import config as config_lib
from trainers import losses, naming, noise, optimizers


class Model(Protocol):
    """What a model must do to be trained."""

    def losses(
        self, batch: batching.Batch, *, smoothing: tf.Tensor, draw: noise.Noise
    ) -> losses.Losses:
        """Returns the loss over the real target tokens of a batch, in sums."""


class RetracedError(RuntimeError):
    """A step was traced twice: a bug here or in the model."""


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
            for name in ("gradient_norm", "steps", "skipped", "src_tokens", "padded")
        }

    def add(self, values: dict[str, tf.Tensor]) -> None:
        """Adds to some of the sums, in the graph."""
        for name, value in values.items():
            self.sums[name].assign_add(tf.cast(value, tf.float64))

    def take(self) -> dict[str, float]:
        """Returns the sums and begins again at 0."""
        values = {name: float(variable.numpy()) for name, variable in self.sums.items()}
        for variable in self.sums.values():
            variable.assign(0.0)
        return values


class TrainStep(tf.Module):
    """Model, optimizer and totals, and the function that updates all of them."""

    def __init__(
        self,
        model: tf.Module,
        optimizer: config_lib.OptimizerConfig,
        *,
        label_smoothing: float,
        seed: int,
    ) -> None:
        """Makes the optimizer's variables; nothing is traced yet."""
        super().__init__()
        self.model = model
        weights = {
            name: variable
            for name, variable in naming.variables(model).items()
            if variable.trainable
        }
        self._weights = weights
        self.optimizer = optimizers.Adam(optimizer, weights)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.skipped_steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.learning_rate = tf.Variable(0.0, trainable=False)
        self.label_smoothing = tf.Variable(label_smoothing, trainable=False)
        self.totals = Totals()
        self._seed = seed
        self._traced = tf.function(
            self._update, input_signature=[batching.SPEC], autograph=False
        )

    @property
    def num_weights(self) -> int:
        """Trainable numbers."""
        return sum(int(np.prod(weight.shape)) for weight in self._weights.values())

    @property
    def num_traces(self) -> int:
        """How often the step was traced in this process."""
        return self._traced.experimental_get_tracing_count()

    def __call__(self, batch: batching.Batch, learning_rate: float) -> None:
        """Updates the model from one batch.

        Raises:
            RetracedError: If TensorFlow traced the step again.
        """
        self.learning_rate.assign(learning_rate)
        self._traced(batch)
        if self.num_traces != 1:
            shapes = {
                name: tuple(value.shape) for name, value in batch._asdict().items()
            }
            raise RetracedError(
                f"train_step was traced {self.num_traces} times; the batch was "
                f"{shapes}, the signature is {batching.SPEC}"
            )

    def _update(self, batch: batching.Batch) -> None:
        self.step.assign_add(1)
        names, variables = list(self._weights), list(self._weights.values())
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            sums = self.model.losses(
                batch,
                smoothing=tf.convert_to_tensor(self.label_smoothing),
                draw=noise.Noise(self._seed, self.step),
            )
            # A batch of filler rows alone would divide by zero.
            mean = sums.loss_sum / tf.maximum(sums.num_tokens, 1.0)
        gradients = dict(zip(names, tape.gradient(mean, variables), strict=True))
        _check_connected(gradients)
        norm = optimizers.global_norm(gradients)
        finite = tf.math.is_finite(norm)
        self.skipped_steps.assign_add(tf.cast(~finite, tf.int64))
        self.optimizer.apply(
            gradients,
            norm,
            learning_rate=tf.convert_to_tensor(self.learning_rate),
            updates=tf.cast(self.step - self.skipped_steps, tf.float32),
        )
        self._count(batch, sums, norm, finite)

    def _count(
        self,
        batch: batching.Batch,
        sums: losses.Losses,
        norm: tf.Tensor,
        finite: tf.Tensor,
    ) -> None:
        """Adds a step to the totals; a skipped one only as such."""
        measured = {**sums._asdict(), "gradient_norm": norm, "steps": tf.constant(1.0)}
        counted = {
            name: tf.where(finite, value, tf.zeros_like(value))
            for name, value in measured.items()
        }
        src_tokens = tf.math.count_nonzero(batch.src_ids)
        padded = tf.size(batch.src_ids) + tf.size(batch.tgt_out_ids)
        self.totals.add(
            {
                **counted,
                "skipped": tf.cast(~finite, tf.float32),
                "src_tokens": src_tokens,
                "padded": padded,
            }
        )


class EvaluationStep:
    """Losses without dropout or smoothing, traced once."""

    def __init__(self, model: Model) -> None:
        """Wraps a model; nothing is traced yet."""
        self._traced = tf.function(
            lambda batch: model.losses(
                batch, smoothing=tf.constant(0.0), draw=noise.NONE
            ),
            input_signature=[batching.SPEC],
            autograph=False,
        )

    @property
    def num_traces(self) -> int:
        """How often the step was traced in this process."""
        return self._traced.experimental_get_tracing_count()

    def __call__(self, batches: Iterable[batching.Batch]) -> dict[str, float]:
        """Returns the means over all real target tokens of some batches.

        Returns:
            loss, in nats a token, and token_accuracy.
        """
        total = np.zeros(len(losses.Losses._fields))
        for batch in batches:
            total += np.array([float(value) for value in self._traced(batch)])
        sums = losses.Losses(*total)
        return {
            "loss": sums.nll_sum / sums.num_tokens,
            "token_accuracy": sums.num_correct / sums.num_tokens,
        }


def _check_connected(gradients: dict[str, tf.Tensor | None]) -> None:
    lost = [name for name, gradient in gradients.items() if gradient is None]
    if lost:
        raise ValueError(f"weights the loss does not depend on: {', '.join(lost)}")
