"""Beam search: of several prefixes that go on together, the hypotheses that end best.

Hypotheses are compared by log-probability over a length penalty, Wu et al. 2016,
https://arxiv.org/abs/1609.08144, equation 14, without the coverage term:

    score(Y) = log P(Y | X) / lp(Y),   lp(Y) = ((5 + |Y|) / 6) ** length_penalty

|Y| counts EOS. A row ends early when the last of the n hypotheses that are wanted beats
every prefix left as it stands, with the penalty of the length it would have if it ended
now. A prefix may get better than that, by a penalty that grows faster than its
log-probability falls; an exact search also waits until no prefix could win even at its
longest. (On the 1,000 sentences of Multi30k's test_2016, beam 5, the exact search took
1.8 times as long, and found another hypothesis for 21 of them.) What is not finished at
the limit of its row is cut there and comes after all that finished.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from pipeline import vocabulary
from trainers.decoding import decoder, rules

_DEAD = rules.BLOCKED  # the score of a place that nothing has taken
_CUT = 1e5  # what being cut takes from a score: more than any finished one lacks


class _Beams(NamedTuple):
    """K prefixes and n hypotheses of A rows after t positions.

    Attributes:
        alive_ids: Prefixes, int32 [A, K, t].
        alive: Their log-probabilities, float32 [A, K], the best first.
        ended_ids: Hypotheses, int32 [A, n, t], PAD after EOS.
        ended: What they are sorted by, penalty included, float32 [A, n].
        log_probs: Their log-probabilities, float32 [A, n].
        whole: Whether they end with EOS and were not cut, bool [A, n].
    """

    alive_ids: tf.Tensor
    alive: tf.Tensor
    ended_ids: tf.Tensor
    ended: tf.Tensor
    log_probs: tf.Tensor
    whole: tf.Tensor


class BeamDecoder(decoder.Decoder):
    """Keeps the best prefixes at every position."""

    def __init__(
        self,
        model: decoder.Decodable,
        *,
        beam_size: int,
        length_penalty: float,
        n_best: int = 1,
        is_exact: bool = False,
        allowed: rules.Rules = rules.ANYTHING,
    ) -> None:
        """Wraps a model; nothing is traced yet.

        Args:
            model: What is decoded.
            beam_size: K, prefixes kept.
            length_penalty: 0 for none; above 0 favours longer hypotheses.
            n_best: n, hypotheses wanted, at most K.
            is_exact: Whether a row goes on until no prefix could win.
            allowed: Which subwords may come.
        """
        super().__init__(model, beam_size=beam_size)
        self._penalty = length_penalty
        self._wanted = n_best
        self._is_exact = is_exact
        self._allowed = allowed

    def _begin(self, num_rows: tf.Tensor) -> _Beams:
        first = tf.concat([[0.0], tf.fill([self._size - 1], _DEAD)], axis=0)
        dead = tf.fill([num_rows, self._wanted], _DEAD)
        return _Beams(
            alive_ids=tf.zeros([num_rows, self._size, 0], tf.int32),
            alive=tf.tile(first[None], [num_rows, 1]),
            ended_ids=tf.zeros([num_rows, self._wanted, 0], tf.int32),
            ended=dead,
            log_probs=dead,
            whole=tf.zeros([num_rows, self._wanted], tf.bool),
        )

    def _found(self, own: _Beams) -> decoder.Found:
        return decoder.Found(own.ended_ids, own.log_probs, own.whole)

    def _goes_on(self, search: decoder.Search) -> tf.Tensor:
        limits = search.request.limits
        # A log-probability only falls, and the penalty is largest at the limit.
        length = limits if self._is_exact else search.position + 1
        most = self._penalized(search.own.alive[:, 0], length)
        return (search.position < limits) & (most > search.own.ended[:, -1])

    def _penalized(self, log_probs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        penalty = ((5.0 + tf.cast(lengths, tf.float32)) / 6.0) ** self._penalty
        return log_probs / penalty

    def _advance(self, search: decoder.Search) -> decoder.Search:
        own: _Beams = search.own
        goes_on = self._goes_on(search)[:, None]
        logits, state = self._model.next_logits(self._last_ids(own), search.state)
        ids = tf.reshape(own.alive_ids, [tf.size(own.alive), search.position])
        logits = tf.cast(logits, tf.float32)
        allowed = self._allowed.apply(logits, ids, search)
        shifts = tf.reshape(own.alive, [-1]) - decoder.log_normalizers(logits)
        shifts = tf.reshape(shifts, [-1, self._size])
        log_probs, parents, tokens = candidates(allowed, shifts, 2 * self._size)
        ids = tf.concat(
            [tf.gather(own.alive_ids, parents, batch_dims=1), tokens[:, :, None]], 2
        )  # [A, 2K, t + 1]
        # An end counts where it is among the K best steps, as it would for K = 1.
        is_end = tokens == vocabulary.EOS_ID
        counts = is_end & (tf.range(tf.shape(tokens)[1]) < self._size)
        at_limit = (search.position + 1 >= search.request.limits)[:, None]
        taken = counts | (at_limit & ~is_end)
        taken &= goes_on & (log_probs > _DEAD / 2)
        ended = self._ended(own, search.position + 1, ids, log_probs, taken, is_end)
        alive, chosen = tf.math.top_k(tf.where(is_end, _DEAD, log_probs), self._size)
        # A row that was done stays so, however long others of its batch go on.
        alive = tf.where(goes_on, alive, -math.inf)
        rows = tf.gather(parents, chosen, batch_dims=1)
        rows += self._size * tf.range(tf.shape(rows)[0])[:, None]
        rows = tf.reshape(rows, [-1])
        prefix = tf.nest.map_structure(lambda part: tf.gather(part, rows), state.prefix)
        return search._replace(
            position=search.position + 1,
            own=ended._replace(
                alive_ids=tf.gather(ids, chosen, batch_dims=1), alive=alive
            ),
            state=state._replace(prefix=prefix),
        )

    def _last_ids(self, own: _Beams) -> tf.Tensor:
        """Returns the last subword of every prefix, BOS at first, int32 [A * K]."""
        begin = tf.fill(tf.shape(own.alive), vocabulary.BOS_ID)[:, :, None]
        return tf.reshape(tf.concat([begin, own.alive_ids], axis=2)[:, :, -1], [-1])

    def _ended(
        self,
        own: _Beams,
        length: tf.Tensor,
        ids: tf.Tensor,
        log_probs: tf.Tensor,
        taken: tf.Tensor,
        is_end: tf.Tensor,
    ) -> _Beams:
        """Returns the beams with the n best of old and new hypotheses."""
        scores = self._penalized(log_probs, length)
        scores -= tf.where(is_end, 0.0, _CUT)
        # A hypothesis that ended before is one PAD longer now.
        padded = tf.pad(own.ended_ids, [[0, 0], [0, 0], [0, 1]])
        all_scores = tf.concat([own.ended, tf.where(taken, scores, _DEAD)], axis=1)
        best, chosen = tf.math.top_k(all_scores, self._wanted)

        def pick(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
            return tf.gather(tf.concat([old, new], axis=1), chosen, batch_dims=1)

        return own._replace(
            ended_ids=pick(padded, ids),
            ended=best,
            log_probs=pick(own.log_probs, log_probs),
            whole=pick(own.whole, is_end & taken),
        )


def candidates(
    scores: tf.Tensor, shifts: tf.Tensor, count: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the best next steps of each row, over all its prefixes, the best first.

    The best of a row are in the chunks of the vocabulary whose largest scores are
    highest, so only those are sorted: half the time of sorting all.

    Args:
        scores: Of what follows each prefix, float32 [A * K, V].
        shifts: Added to a prefix's scores, float32 [A, K].
        count: How many steps, c; at most K * V.

    Returns:
        Scores, prefixes and subwords, [A, c] each.
    """
    num_rows, size = tf.shape(shifts)[0], shifts.shape[1]
    num_subwords = scores.shape[1]
    width = _chunk_width(num_subwords)
    num_chunks = num_subwords // width
    chunks = tf.reshape(scores, [num_rows, size * num_chunks, width])
    chunk_shifts = tf.repeat(shifts, num_chunks, axis=1)  # [A, K * C]
    highest = tf.reduce_max(chunks, axis=2) + chunk_shifts
    _, some = tf.math.top_k(highest, min(count, size * num_chunks))  # [A, c]
    within = tf.gather(chunks, some, batch_dims=1)
    within += tf.gather(chunk_shifts, some, batch_dims=1)[:, :, None]
    flat = tf.reshape(within, [num_rows, some.shape[1] * width])
    values, places = tf.math.top_k(flat, min(count, some.shape[1] * width))
    chunk = tf.gather(some, places // width, batch_dims=1)
    subwords = (chunk % num_chunks) * width + places % width
    return values, chunk // num_chunks, subwords


def _chunk_width(num_subwords: int) -> int:
    """Returns the divisor nearest to the root, from above, so that nothing is copied.

    >>> _chunk_width(8000), _chunk_width(7919)
    (100, 7919)
    """
    root = math.isqrt(num_subwords)
    return next(
        width for width in range(root, num_subwords + 1) if num_subwords % width == 0
    )
