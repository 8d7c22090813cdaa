"""The traced step that only evaluates."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from pipeline import batching
from trainers import losses, noise


class Model(Protocol):
    """What a model must do to be trained."""

    def losses(
        self, batch: Any, *, smoothing: tf.Tensor, draw: noise.Noise
    ) -> losses.Losses:
        """Returns the loss over the real targets of a batch, in sums."""


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
        return int(self._traced.experimental_get_tracing_count())

    def __call__(self, batches: Iterable[Any]) -> dict[str, float]:
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
