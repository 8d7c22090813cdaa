"""One hypothesis a row: at every position the best subword, or one that is drawn."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from pipeline import vocabulary
from trainers.decoding import decoder, rules

Choice = Callable[[tf.Tensor, decoder.Search], tf.Tensor]


class _Walk(NamedTuple):
    """What A rows have said after t positions.

    Attributes:
        ids: int32 [A, t], PAD after EOS.
        log_probs: float32 [A].
        ended: Whether EOS was said, bool [A].
    """

    ids: tf.Tensor
    log_probs: tf.Tensor
    ended: tf.Tensor


def best(scores: tf.Tensor, search: decoder.Search) -> tf.Tensor:
    """Returns the best subword of each row, int32 [A], for float32 [A, V]."""
    del search
    return tf.argmax(scores, axis=-1, output_type=tf.int32)


class GreedyDecoder(decoder.Decoder):
    """Chooses a subword and goes on with it."""

    def __init__(
        self,
        model: decoder.Decodable,
        *,
        allowed: rules.Rules = rules.ANYTHING,
        choice: Choice = best,
    ) -> None:
        """Wraps a model; nothing is traced yet.

        Args:
            model: What is decoded.
            allowed: Which subwords may come.
            choice: Takes one for each row of scores; `best` or of `sampling`.
        """
        super().__init__(model)
        self._allowed = allowed
        self._choice = choice

    def _begin(self, num_rows: tf.Tensor) -> _Walk:
        return _Walk(
            ids=tf.zeros([num_rows, 0], tf.int32),
            log_probs=tf.zeros([num_rows]),
            ended=tf.zeros([num_rows], tf.bool),
        )

    def _goes_on(self, search: decoder.Search) -> tf.Tensor:
        return ~search.own.ended & (search.position < search.request.limits)

    def _found(self, own: _Walk) -> decoder.Found:
        return decoder.Found(*(part[:, None] for part in own))

    def _advance(self, search: decoder.Search) -> decoder.Search:
        walk: _Walk = search.own
        begin = tf.fill([tf.shape(walk.ids)[0], 1], vocabulary.BOS_ID)
        last_ids = tf.concat([begin, walk.ids], axis=1)[:, -1]
        logits, state = self._model.next_logits(last_ids, search.state)
        logits = tf.cast(logits, tf.float32)
        chosen = self._choice(self._allowed.apply(logits, walk.ids, search), search)
        log_probs = tf.gather(logits, chosen, batch_dims=1)
        log_probs -= decoder.log_normalizers(logits)
        goes_on = self._goes_on(search)
        said = tf.where(goes_on, chosen, vocabulary.PAD_ID)
        own = _Walk(
            ids=tf.concat([walk.ids, said[:, None]], axis=1),
            log_probs=walk.log_probs + tf.where(goes_on, log_probs, 0.0),
            ended=walk.ended | (said == vocabulary.EOS_ID),
        )
        return search._replace(position=search.position + 1, own=own, state=state)
