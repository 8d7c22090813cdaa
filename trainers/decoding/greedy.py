"""Greedy decoding: at every position the subword that scores highest.

One traced function for all batches: sources of any number and length, state that grows
by one position a turn, a limit for each row of its own, so that the batch a sentence is
in does not change its hypothesis.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from pipeline import vocabulary

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


class GreedyDecoder:
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

    def __call__(self, src_ids: tf.Tensor) -> Hypotheses:
        """Returns the hypotheses for sources with EOS, int32 [B, S]."""
        ids, log_probs, finished = self._traced(src_ids)
        return Hypotheses(ids.numpy().T, log_probs.numpy(), finished.numpy())

    def _decode(self, src_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns ids, a row a position: int32 [T, B]; scores and flags, [B] each."""
        num_rows = tf.shape(src_ids)[0]
        row_limits = limits(src_ids)

        def unfinished(
            position: tf.Tensor, last_ids: tf.Tensor, done: tf.Tensor, *rest: Any
        ) -> tf.Tensor:
            del last_ids, rest
            return (position < tf.reduce_max(row_limits)) & ~tf.reduce_all(done)

        def one_position(
            position: tf.Tensor,
            last_ids: tf.Tensor,
            done: tf.Tensor,
            ended: tf.Tensor,
            scores: tf.Tensor,
            ids: tf.TensorArray,
            state: Any,
        ) -> tuple[Any, ...]:
            logits, state = self._model.next_logits(last_ids, state)
            best = tf.argmax(logits, -1, output_type=tf.int32)
            log_probs = tf.reduce_max(logits, -1) - tf.reduce_logsumexp(logits, -1)
            chosen = tf.where(done, vocabulary.PAD_ID, best)
            scores += tf.where(done, 0.0, log_probs)
            ended |= chosen == vocabulary.EOS_ID
            done = ended | (position + 1 >= row_limits)
            ids = ids.write(position, chosen)
            return position + 1, chosen, done, ended, scores, ids, state

        state = self._model.start(src_ids)
        no = tf.zeros([num_rows], tf.bool)
        ids = tf.TensorArray(tf.int32, 0, dynamic_size=True, element_shape=[None])
        initial = (
            tf.constant(0),
            tf.fill([num_rows], vocabulary.BOS_ID),
            no,
            no,
            tf.zeros([num_rows]),
            ids,
            state,
        )
        _, _, _, ended, scores, ids, _ = tf.while_loop(
            unfinished,
            one_position,
            initial,
            shape_invariants=(
                tf.TensorShape([]),
                *[tf.TensorShape([None])] * 4,
                tf.TensorShape(None),
                tf.nest.map_structure(any_size, state),
            ),
        )
        return ids.stack(), scores, ended


def limits(src_ids: tf.Tensor) -> tf.Tensor:
    """Returns how many tokens a hypothesis may have, int32 [B], for int32 [B, S]."""
    src_lengths = tf.math.count_nonzero(src_ids, axis=1, dtype=tf.int32)
    return MAX_LENGTH_RATIO * src_lengths + MAX_LENGTH_OFFSET


def any_size(tensor: tf.Tensor) -> tf.TensorShape:
    """Returns a shape that says the number of axes alone."""
    return tf.TensorShape([None] * tensor.shape.rank)
