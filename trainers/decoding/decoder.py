"""What every decoder shares: what a model must do, limits, results, the one trace.

One traced function for all batches: sources of any number and length, state that grows
by one position a turn, a limit for each row of its own, so that the batch a sentence is
in does not change its hypothesis.
"""

import abc
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

# A row ends without EOS after this many tokens: ratio * source tokens + offset.
MAX_LENGTH_RATIO = 2
MAX_LENGTH_OFFSET = 50


class Decodable(Protocol):
    """What a model must do to be decoded."""

    def start(self, src_ids: tf.Tensor) -> Any:
        """Returns a nest of tensors, [B, ...] each: the state before position 0."""

    def next_logits(self, tgt_ids: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
        """Returns scores of what follows, [B, V], and the next state."""

    def reorder(self, state: Any, rows: tf.Tensor) -> Any:
        """Returns the state with row `rows[i]` in the place of row i, int32 [B].

        Both are of one source, so what the source alone determines may stay.
        """


class Hypotheses(NamedTuple):
    """What was decoded for a batch.

    Attributes:
        ids: Subwords, EOS included, then PAD: int32 [B, T].
        log_probs: Log-probability of each row, EOS included: float32 [B].
        finished: Whether the row ended with EOS: bool [B].
    """

    ids: np.ndarray
    log_probs: np.ndarray
    finished: np.ndarray


class Decoder(abc.ABC):
    """Decodes batches with a model; traced once."""

    def __init__(self, model: Decodable) -> None:
        """Wraps a model; nothing is traced yet."""
        self._model = model
        self._traced = tf.function(
            self._decode,
            input_signature=[tf.TensorSpec([None, None], tf.int32, "src_ids")],
            autograph=False,
        )

    @property
    def num_traces(self) -> int:
        """How often the decoder was traced in this process."""
        return self._traced.experimental_get_tracing_count()

    @abc.abstractmethod
    def __call__(self, src_ids: tf.Tensor) -> Hypotheses:
        """Returns the best hypotheses for sources with EOS, int32 [B, S]."""

    @abc.abstractmethod
    def best(self, src_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Builds the graph of the best hypotheses, for graphs that go further.

        Args:
            src_ids: Sources with EOS, int32 [B, S]; B at least 1.

        Returns:
            What `Hypotheses` holds, as tensors.
        """

    @abc.abstractmethod
    def _decode(self, src_ids: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Builds the graph."""


def limits(src_ids: tf.Tensor) -> tf.Tensor:
    """Returns how many tokens a hypothesis may have, int32 [B], for int32 [B, S]."""
    src_lengths = tf.math.count_nonzero(src_ids, axis=1, dtype=tf.int32)
    return MAX_LENGTH_RATIO * src_lengths + MAX_LENGTH_OFFSET


def any_size(tensor: tf.Tensor) -> tf.TensorShape:
    """Returns a shape that says the number of axes alone."""
    return tf.TensorShape([None] * tensor.shape.rank)
