"""Which subwords may come next, apart from what the model thinks of them.

Rules only choose among what the model says; log-probabilities stay the model's own, so
that a hypothesis has the score that forced decoding gives it.
"""

import dataclasses

import tensorflow as tf

from pipeline import vocabulary
from trainers.decoding import decoder

BLOCKED = -1e9  # the score of what must not come
_NEVER = (vocabulary.PAD_ID, vocabulary.BOS_ID)  # they are not said, only read


@dataclasses.dataclass(frozen=True)
class Rules:
    """Which rules there are; one that is not costs nothing.

    PAD and BOS never come: they say nothing, so a hypothesis with one of them would be
    a second one of the same text.

    Attributes:
        no_repeat_ngram: No sequence of so many subwords comes twice; 0 for any.
        minimum: Whether EOS waits for `Request.minimum` tokens.
        forced: Whether hypotheses begin as `Request.forced` says.
    """

    no_repeat_ngram: int = 0
    minimum: bool = False
    forced: bool = False

    def apply(
        self, logits: tf.Tensor, ids: tf.Tensor, search: decoder.Search
    ) -> tf.Tensor:
        """Returns scores in which what must not come is `BLOCKED`, or lower.

        What is forced comes whatever the other rules say.

        Args:
            logits: float32 [N, V], N = A * K.
            ids: The prefixes so far, int32 [N, t].
            search: Where the A rows stand.
        """
        times = tf.shape(ids)[0] // tf.shape(search.rows)[0]
        blocked = []
        if self.minimum:
            early = search.position < search.request.minimum  # [A]
            rows = tf.where(tf.repeat(early, times))  # [M, 1]
            eos = tf.fill(tf.shape(rows), tf.constant(vocabulary.EOS_ID, tf.int64))
            blocked.append(tf.concat([rows, eos], axis=1))
        if self.no_repeat_ngram:
            blocked.append(repetitions(ids, self.no_repeat_ngram))
        # Lower than what else is blocked: where all is, one of the others comes.
        never = tf.one_hot(_NEVER, tf.shape(logits)[1], on_value=2 * BLOCKED)  # [2, V]
        allowed = logits + tf.reduce_sum(never, axis=0)
        if blocked:
            places = tf.concat(blocked, axis=0)  # [M, 2]
            values = tf.fill(tf.shape(places)[:1], BLOCKED)
            allowed = tf.tensor_scatter_nd_update(allowed, places, values)
        if self.forced:
            allowed = _forced(logits, allowed, search, times)
        return allowed


ANYTHING = Rules()


def repetitions(ids: tf.Tensor, size: int) -> tf.Tensor:
    """Returns what would complete a sequence of `size` that was there before.

    Paulus et al. 2017, https://arxiv.org/abs/1705.04304, section 2.5, for any size.

    >>> repetitions(tf.constant([[5, 6, 7, 5, 6]]), 3).numpy().tolist()
    [[0, 7]]

    Args:
        ids: Prefixes, int32 [N, t].
        size: Subwords in a sequence, at least 1.

    Returns:
        Pairs of row and subword, int64 [M, 2].
    """
    length = tf.shape(ids)[1]
    count = tf.maximum(length - size + 1, 0)  # places where one has begun
    same = tf.ones([tf.shape(ids)[0], count], tf.bool)
    for offset in range(size - 1):
        last = length - size + 1 + offset
        same &= ids[:, offset : offset + count] == ids[:, last : last + 1]
    then = ids[:, size - 1 : size - 1 + count]
    places = tf.where(same)
    subwords = tf.cast(tf.gather_nd(then, places), tf.int64)
    return tf.stack([places[:, 0], subwords], axis=1)


def _forced(
    logits: tf.Tensor, allowed: tf.Tensor, search: decoder.Search, times: tf.Tensor
) -> tf.Tensor:
    """Returns `allowed`, where a subword is forced all others blocked instead."""
    # One column of PAD more, so that every position has one.
    columns = tf.pad(search.request.forced, [[0, 0], [0, 1]])
    place = tf.minimum(search.position, tf.shape(columns)[1] - 1)
    wanted = tf.repeat(columns[:, place], times)[:, None]  # [N, 1]
    others = tf.range(tf.shape(logits)[1])[None] != wanted
    is_free = wanted == vocabulary.PAD_ID
    return tf.where(is_free, allowed, tf.where(others, BLOCKED, logits))
