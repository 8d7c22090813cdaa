"""The one traced training step.

What changes during a run lives in variables that the traced functions close over: the
step, the learning rate, the totals since they were last read. So the input signature is
the batch and nothing else, and the function is traced once, whatever the buckets,
epochs, learning rate or evaluations in between.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline import batching, exits
from trainers import (
    averages,
    gradient_sums,
    local,
    loss_scale,
    losses,
    naming,
    noise,
    optimizer_config,
    optimizers,
    own_state,
    replicas,
    totals,
)


class RetracedError(RuntimeError):
    """A step was traced twice: a bug here or in the model."""


class TrainStep(tf.Module):
    """Model, optimizer and totals, and the function that updates all of them."""

    def __init__(
        self,
        model: tf.Module,
        optimizer: optimizer_config.OptimizerConfig,
        *,
        label_smoothing: float,
        seed: int,
        dtype: str = "float32",
        spec: Any = batching.SPEC,
        frozen: Collection[str] = (),
        xla: bool = False,
        over: replicas.Replicas = replicas.ALONE,
    ) -> None:
        """Makes the optimizer's variables; nothing is traced yet.

        Args:
            model: With weights of float32.
            optimizer: How gradients become updates.
            label_smoothing: Mass spread over the vocabulary.
            seed: Of dropout.
            dtype: In which the model computes; float16 needs a loss scale.
            spec: Signature of its batches.
            frozen: Names of weights that are not trained.
            xla: Whether to compile the step for each shape of batch.
            over: The replicas that take the step, in whose scope this is made.
        """
        super().__init__()
        self.model = model
        weights = {
            name: variable
            for name, variable in naming.trainable(model).items()
            if name not in frozen
        }
        self._weights = weights
        self._config = optimizer
        # Of norms and factors: that of the weights, float64 only in tests.
        self._sum_dtype = next(iter(weights.values())).dtype
        self.optimizer = optimizers.make(optimizer, weights)
        self._make_variables(label_smoothing, dtype)
        self._seed, self._spec = seed, spec
        # Unset while memory is tried: everything runs, nothing changes.
        self._live = tf.Variable(True, trainable=False)
        self._accumulated = (
            gradient_sums.GradientSums(weights)
            if optimizer.accumulate_steps > 1
            else None
        )
        self._own = own_state.OwnState(model, in_parts=self._accumulated is not None)
        # The sum of losses is divided by the tokens of all parts, once they are known.
        self._is_one_part = self._accumulated is None and over.count == 1
        self._over = over
        self._traced = over.traced(self._update, spec, xla=xla)
        self._traced_accumulation = over.traced(self._accumulate, spec, xla=xla)

    def _make_variables(self, label_smoothing: float, dtype: str) -> None:
        """Makes what changes during a run beside weights and moments."""
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.skipped_steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.skipped_in_row = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.most_skipped_in_row = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.learning_rate = tf.Variable(0.0, trainable=False)
        self.label_smoothing = tf.Variable(label_smoothing, trainable=False)
        self.totals = totals.Totals()
        if self._config.ema_decay:
            self.ema_decay = tf.Variable(self._config.ema_decay, trainable=False)
            self.ema = averages.Average(self._weights)
        self.loss_scale = loss_scale.LossScale() if dtype == "float16" else None

    @property
    def num_weights(self) -> int:
        """Trainable numbers."""
        return sum(int(np.prod(weight.shape)) for weight in self._weights.values())

    @property
    def _part(self) -> tf.Variable | int:
        """Number of a part of a step, from 0."""
        return 0 if self._accumulated is None else self._accumulated.count

    @property
    def num_traces(self) -> int:
        """How often the step was traced in this process."""
        counts = (
            traced.experimental_get_tracing_count()
            for traced in (self._traced, self._traced_accumulation)
        )
        return int(max(counts))

    def __call__(self, micro_batches: Sequence[Any], learning_rate: float) -> None:
        """Updates the model from one batch, in one part or in several.

        Args:
            micro_batches: `accumulate_steps` parts; the loss is divided once, by the
                number of tokens of all.
            learning_rate: Of this step.

        Raises:
            RetracedError: If TensorFlow traced the step again.
        """
        self.learning_rate.assign(learning_rate)
        *first, last = micro_batches
        for batch in first:
            self._traced_accumulation(self._over.deal(batch))
            self._check_traces(batch)
        self._traced(self._over.deal(last))
        self._check_traces(last)

    def try_memory(
        self, batches: Iterable[Any], on_batch: Callable[[], None] = lambda: None
    ) -> None:
        """Runs batches through the same traced function without changing anything.

        Args:
            batches: To run.
            on_batch: Called after each.
        """
        self._live.assign(False)
        for batch in batches:
            dealt = self._over.deal(batch)
            if self._accumulated is not None:
                self._traced_accumulation(dealt)
            self._traced(dealt)
            self._check_traces(batch)
            on_batch()
        self._live.assign(True)
        if self._accumulated is not None:
            self._accumulated.clear()  # empty between steps, as it was

    def restart_average(self) -> None:
        """Begins the moving average, if there is one, with the weights as they are."""
        if self._config.ema_decay:
            self.ema.restart(self._weights)

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Puts the moving average in the place of the weights while the block runs.

        The step is not traced again: its variables get other values, and get theirs
        back. Without an average nothing happens.
        """
        if not self._config.ema_decay:
            yield
            return
        raw = {name: weight.numpy() for name, weight in self._weights.items()}
        for name, weight in self._weights.items():
            weight.assign(self.ema.values[name])
        try:
            yield
        finally:
            for name, weight in self._weights.items():
                weight.assign(raw[name])

    def _check_traces(self, batch: Any) -> None:
        if self.num_traces == 1:
            return
        shapes = {
            name: f"{value.dtype.name} {tuple(value.shape)}"
            for name, value in batch._asdict().items()
        }
        raise RetracedError(
            f"train_step was traced {self.num_traces} times; the batch was "
            f"{shapes}, the signature is {self._spec}"
        )

    def _gradients(
        self, batch: Any, micro: tf.Tensor | int
    ) -> tuple[dict[str, tf.Tensor], losses.Losses]:
        """Returns the gradient of the loss by weight, and the sums it is made of.

        It is that of the mean over this batch's tokens where there is one part, of the
        sum over them where there are several; times the loss scale, if there is one.
        """
        names, variables = list(self._weights), list(self._weights.values())
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            sums = self.model.losses(
                batch,
                smoothing=tf.convert_to_tensor(self.label_smoothing),
                draw=noise.Noise(self._seed, self.step, micro, self._over.lanes()),
            )
            loss = sums.loss_sum
            # A batch of filler rows alone would divide by zero.
            num_tokens = tf.maximum(sums.num_tokens, 1.0)
            if self._is_one_part or self.loss_scale is not None:
                loss /= num_tokens
            if self.loss_scale is not None:
                loss *= self.loss_scale.value
        gradients = dict(zip(names, tape.gradient(loss, variables), strict=True))
        _check_connected(gradients, self.model)
        if self.loss_scale is not None and not self._is_one_part:
            # float16 would not hold the sum's
            gradients = {name: num_tokens * value for name, value in gradients.items()}
        return gradients, sums

    def _accumulate(self, batch: Any) -> None:
        """Adds a part's gradient to those before; the update comes with the last."""
        assert self._accumulated is not None
        self._own.before(self._part)
        gradients, sums = self._gradients(batch, self._part)
        self._accumulated.add(gradients, sums, batching.count(batch))

    def _update(self, batch: Any) -> None:
        live = tf.convert_to_tensor(self._live)
        local.assign_add(self.step, tf.cast(live, tf.int64))
        own = self._own.before(self._part)
        gradients, sums, counts = self._over.total(self._sums(batch, live))
        scale: tf.Tensor | float = 1.0
        if not self._is_one_part:
            num_tokens = tf.maximum(sums.num_tokens, 1.0)
            scale = tf.cast(1.0 / num_tokens, self._sum_dtype)
        if self.loss_scale is not None:
            scale /= tf.cast(self.loss_scale.value, self._sum_dtype)
        norm = optimizers.global_norm(gradients)
        norm = tf.cast(norm, self._sum_dtype) * scale
        finite = tf.math.is_finite(norm)
        self._own.put_back(own, unless=finite & live)
        scale *= optimizers.clip_scale(norm, self._config.clip_norm)
        if self.loss_scale is not None:
            self.loss_scale.update(finite, live)
        self._note_skipped(finite, live)
        updates = tf.cast(self.step - self.skipped_steps, tf.float32)
        self.optimizer.apply(
            gradients,
            scale=scale,
            live=finite & live,
            learning_rate=tf.convert_to_tensor(self.learning_rate),
            updates=updates,
        )
        if self._config.ema_decay:
            self.ema.update(self._weights, self.ema_decay, updates, finite & live)
        self.totals.count(counts, sums, norm, finite, live)

    def _sums(
        self, batch: Any, live: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], losses.Losses, batching.Counts]:
        """Returns gradients, losses and counts of this replica's batch, all parts."""
        counts = batching.count(batch)
        gradients, sums = self._gradients(batch, self._part)
        if self._accumulated is None:
            return gradients, sums, counts
        return self._accumulated.take(gradients, sums, counts, live)

    def _note_skipped(self, finite: tf.Tensor, live: tf.Tensor) -> None:
        skipped = tf.cast(~finite & live, tf.int64)
        local.assign_add(self.skipped_steps, skipped)
        in_row = tf.where(finite, tf.zeros_like(skipped), self.skipped_in_row + 1)
        in_row = tf.where(live, in_row, self.skipped_in_row)
        local.assign(self.skipped_in_row, in_row)
        local.assign(
            self.most_skipped_in_row, tf.maximum(self.most_skipped_in_row, in_row)
        )


def _check_connected(gradients: dict[str, tf.Tensor | None], model: tf.Module) -> None:
    """Refuses a model that has weights of no use.

    Raises:
        exits.Refusal: If it is the user's own.
        ValueError: If it is one of ours: a bug.
    """
    lost = [name for name, gradient in gradients.items() if gradient is None]
    if not lost:
        return
    told = f"weights the loss does not depend on: {', '.join(lost)}"
    origin = getattr(model, "origin", None)
    if origin is None:
        raise ValueError(told)
    raise exits.Refusal(
        exits.USAGE,
        f"{origin}: {told}; lead their layers to the output, take them out, or set "
        "trainable=False on them",
    )
