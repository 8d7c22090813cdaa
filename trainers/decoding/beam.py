"""Beam search: of several prefixes that go on together, the hypothesis that ends best.

Hypotheses are compared by log-probability over a length penalty, Wu et al. 2016,
https://arxiv.org/abs/1609.08144, equation 14, without the coverage term:

    score(Y) = log P(Y | X) / lp(Y),   lp(Y) = ((5 + |Y|) / 6) ** length_penalty

|Y| counts EOS. A row ends when no prefix left could still beat its worst finished
hypothesis, even at its longest; so stopping early changes nothing. What is not finished
at the limit of its row is cut there, and only returned if nothing finished.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from pipeline import vocabulary
from trainers.decoding import decoder

_DEAD = -1e9  # the score of a place that nothing has taken


class _Search(NamedTuple):
    """Where a search stands after t positions; K hypotheses a row.

    Attributes:
        position: t, int32 [].
        alive_ids: Prefixes, int32 [B, K, t].
        alive: Their log-probabilities, float32 [B, K].
        ended_ids: Finished hypotheses, int32 [B, K, t], PAD after EOS.
        ended: Their scores, penalty included, float32 [B, K].
        ended_log_probs: Their log-probabilities, float32 [B, K].
        whole: Whether they end with EOS and were not cut, bool [B, K].
        state: The model's, B * K rows.
    """

    position: tf.Tensor
    alive_ids: tf.Tensor
    alive: tf.Tensor
    ended_ids: tf.Tensor
    ended: tf.Tensor
    ended_log_probs: tf.Tensor
    whole: tf.Tensor
    state: Any


class BeamDecoder(decoder.Decoder):
    """Keeps the best prefixes at every position."""

    def __init__(
        self, model: decoder.Decodable, *, beam_size: int, length_penalty: float
    ) -> None:
        """Wraps a model; nothing is traced yet.

        Args:
            model: What is decoded.
            beam_size: K, prefixes kept.
            length_penalty: 0 for none; above 0 favours longer hypotheses.
        """
        super().__init__(model)
        self._size = beam_size
        self._penalty = length_penalty

    def __call__(self, src_ids: tf.Tensor) -> decoder.Hypotheses:
        """Returns the best hypotheses for sources with EOS, int32 [B, S]."""
        ids, log_probs, whole = self._traced(src_ids)
        return decoder.Hypotheses(
            ids[:, 0].numpy(), log_probs[:, 0].numpy(), whole[:, 0].numpy()
        )

    def best(self, src_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns ids [B, T], log-probabilities and flags [B]."""
        ids, log_probs, whole = self._decode(src_ids)
        return ids[:, 0], log_probs[:, 0], whole[:, 0]

    def _decode(self, src_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns ids [B, K, T], log-probabilities and flags [B, K], the best first."""
        num_rows = tf.shape(src_ids)[0]
        limits = decoder.limits(src_ids)  # [B]
        size = self._size
        first = tf.concat([[0.0], tf.fill([size - 1], _DEAD)], axis=0)
        state = self._model.start(src_ids)
        begin = _Search(
            position=tf.constant(0),
            alive_ids=tf.zeros([num_rows, size, 0], tf.int32),
            alive=tf.tile(first[None], [num_rows, 1]),
            ended_ids=tf.zeros([num_rows, size, 0], tf.int32),
            ended=tf.fill([num_rows, size], _DEAD),
            ended_log_probs=tf.fill([num_rows, size], _DEAD),
            whole=tf.zeros([num_rows, size], tf.bool),
            state=tf.nest.map_structure(lambda part: tf.repeat(part, size, 0), state),
        )
        end = _Search(
            *tf.while_loop(
                lambda *search: ~self._is_over(_Search(*search), limits),
                lambda *search: self._advance(_Search(*search), limits),
                begin,
                shape_invariants=_Search(
                    position=tf.TensorShape([]),
                    alive_ids=tf.TensorShape([None, size, None]),
                    alive=tf.TensorShape([None, size]),
                    ended_ids=tf.TensorShape([None, size, None]),
                    ended=tf.TensorShape([None, size]),
                    ended_log_probs=tf.TensorShape([None, size]),
                    whole=tf.TensorShape([None, size]),
                    state=tf.nest.map_structure(decoder.any_size, state),
                ),
            )
        )
        return end.ended_ids, end.ended_log_probs, end.whole

    def _penalized(self, log_probs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        penalty = ((5.0 + tf.cast(lengths, tf.float32)) / 6.0) ** self._penalty
        return log_probs / penalty

    def _is_over(self, search: _Search, limits: tf.Tensor) -> tf.Tensor:
        """Returns whether no prefix of any row can still get anywhere, bool []."""
        # A log-probability only falls, and the penalty is largest at the limit.
        most = tf.maximum(
            self._penalized(search.alive[:, 0], limits),
            self._penalized(search.alive[:, 0], search.position + 1),
        )
        worst = tf.reduce_min(search.ended, axis=1)
        at_limit = search.position >= limits
        return tf.reduce_all(at_limit | (most <= worst))

    def _advance(self, search: _Search, limits: tf.Tensor) -> _Search:
        """Takes every prefix one position on."""
        last_ids = self._last_ids(search)
        logits, state = self._model.next_logits(last_ids, search.state)
        scores, parents, tokens = self._candidates(logits, search.alive)
        position = search.position + 1
        ids = tf.concat(
            [tf.gather(search.alive_ids, parents, batch_dims=1), tokens[:, :, None]], 2
        )  # [B, 2K, t + 1]
        # An end counts where it is among the K best steps, as it would for K = 1.
        is_end = tokens == vocabulary.EOS_ID
        counts = is_end & (tf.range(tf.shape(tokens)[1]) < self._size)
        within = (search.position < limits)[:, None]
        at_limit = (position >= limits)[:, None]
        ended = self._ended(search, position, ids, scores, counts, within, at_limit)
        going_on = tf.where(is_end | at_limit, _DEAD, scores)
        alive, chosen = tf.math.top_k(going_on, self._size)  # [B, K]
        rows = tf.gather(parents, chosen, batch_dims=1)
        rows += self._size * tf.range(tf.shape(rows)[0])[:, None]
        return ended._replace(
            position=position,
            alive_ids=tf.gather(ids, chosen, batch_dims=1),
            alive=alive,
            state=self._model.reorder(state, tf.reshape(rows, [-1])),
        )

    def _last_ids(self, search: _Search) -> tf.Tensor:
        """Returns the last subword of every prefix, BOS at first, int32 [B * K]."""
        begin = tf.fill(tf.shape(search.alive), vocabulary.BOS_ID)[:, :, None]
        return tf.reshape(tf.concat([begin, search.alive_ids], axis=2)[:, :, -1], [-1])

    def _candidates(
        self, logits: tf.Tensor, alive: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the 2K best next steps: log-probability, prefix, subword: [B, 2K].

        As many, because K of them may be ends.
        """
        log_probs = tf.nn.log_softmax(tf.cast(logits, tf.float32))  # [B * K, V]
        count = tf.minimum(2 * self._size, tf.shape(log_probs)[1])
        values, subwords = tf.math.top_k(log_probs, count)
        num_rows = tf.shape(alive)[0]
        flat = [num_rows, self._size * count]
        totals = tf.reshape(values, [num_rows, self._size, count]) + alive[:, :, None]
        scores, places = tf.math.top_k(tf.reshape(totals, flat), 2 * self._size)
        tokens = tf.gather(tf.reshape(subwords, flat), places, batch_dims=1)
        return scores, places // count, tokens

    def _ended(
        self,
        search: _Search,
        position: tf.Tensor,
        ids: tf.Tensor,
        log_probs: tf.Tensor,
        is_end: tf.Tensor,
        within: tf.Tensor,
        at_limit: tf.Tensor,
    ) -> _Search:
        """Returns the search with the K best of old and new finished hypotheses."""
        scores = self._penalized(log_probs, position)
        possible = within & (log_probs > _DEAD / 2)
        something = tf.concat([search.whole, is_end & possible], axis=1)
        nothing = ~tf.reduce_any(something, axis=1, keepdims=True)
        cut = at_limit & nothing & ~is_end  # only where nothing has finished
        taken = possible & (is_end | cut)
        # A hypothesis that ended before is one PAD longer now.
        padded = tf.pad(search.ended_ids, [[0, 0], [0, 0], [0, 1]])
        everything = tf.concat([padded, ids], axis=1)
        all_scores = tf.concat([search.ended, tf.where(taken, scores, _DEAD)], axis=1)
        best, chosen = tf.math.top_k(all_scores, self._size)

        def pick(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
            return tf.gather(tf.concat([old, new], axis=1), chosen, batch_dims=1)

        return search._replace(
            ended_ids=tf.gather(everything, chosen, batch_dims=1),
            ended=best,
            ended_log_probs=pick(search.ended_log_probs, log_probs),
            whole=pick(search.whole, is_end & taken),
        )
