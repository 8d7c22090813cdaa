"""Greedy decoding: at every position the subword that scores highest."""

from typing import Any

import tensorflow as tf

from pipeline import vocabulary
from trainers.decoding import decoder


class GreedyDecoder(decoder.Decoder):
    """Takes the best subword at every position."""

    def __call__(self, src_ids: tf.Tensor) -> decoder.Hypotheses:
        """Returns the hypotheses for sources with EOS, int32 [B, S]."""
        ids, log_probs, finished = self._traced(src_ids)
        return decoder.Hypotheses(ids.numpy().T, log_probs.numpy(), finished.numpy())

    def best(self, src_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns ids [B, T], log-probabilities and flags [B]."""
        ids, log_probs, finished = self._decode(src_ids)
        return tf.transpose(ids), log_probs, finished

    def _decode(self, src_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns ids, a row a position: int32 [T, B]; scores and flags, [B] each."""
        num_rows = tf.shape(src_ids)[0]
        row_limits = decoder.limits(src_ids)

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
                tf.nest.map_structure(decoder.any_size, state),
            ),
        )
        return ids.stack(), scores, ended
