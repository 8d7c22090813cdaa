import itertools

import numpy as np
import pytest
import tensorflow as tf

from pipeline import vocabulary
from tests import decoding_requests, small_models
from trainers.decoding import beam, decoder, greedy, rules
from trainers.models import transformer

SIZE = 8
LONGEST = 4
PAD, BOS, EOS = vocabulary.PAD_ID, vocabulary.BOS_ID, vocabulary.EOS_ID


class Scripted:
    """Logits that depend on the source, the position and everything said so far."""

    def __init__(self, seed: int):
        draw = np.random.default_rng(seed)
        self.table = draw.normal(0, 1.5, (7, LONGEST, 7, SIZE)).astype("f4")
        self.table[:, LONGEST - 1] = -30.0
        self.table[:, LONGEST - 1, :, EOS] = 0.0  # nothing is longer

    def start(self, src_ids):
        zeros = tf.zeros([tf.shape(src_ids)[0]], tf.int32)
        return decoder.State(source=src_ids[:, 0] % 7, prefix=(zeros, zeros))

    def next_logits(self, tgt_ids, state):
        position, said = state.prefix
        times = tf.shape(said)[0] // tf.shape(state.source)[0]
        source = tf.repeat(state.source, times)
        said = (3 * said + tgt_ids) % 7
        place = tf.stack([source, tf.minimum(position, LONGEST - 1), said], 1)
        return tf.gather_nd(self.table, place), state._replace(
            prefix=(position + 1, said)
        )

    def log_prob(self, source: int, ids: tuple[int, ...]) -> float:
        said, total = 0, 0.0
        last = vocabulary.BOS_ID
        for position, token in enumerate(ids):
            said = (3 * said + last) % 7
            logits = self.table[source % 7, position, said].astype(float)
            total += logits[token] - np.log(np.exp(logits).sum())
            last = token
        return total


def _every_hypothesis():
    others = [token for token in range(SIZE) if token not in (PAD, BOS, EOS)]
    for length in range(LONGEST):
        for words in itertools.product(others, repeat=length):
            yield (*words, EOS)


def _sorted(model: Scripted, source: int, penalty: float, is_allowed=lambda ids: True):
    def score(ids):
        return model.log_prob(source, ids) / ((5 + len(ids)) / 6) ** penalty

    return sorted(filter(is_allowed, _every_hypothesis()), key=score, reverse=True)


def _asked(sources, **asked):
    return decoding_requests.of([[source, EOS] for source in sources], **asked)


def _decode(model, sources, *, limit=60, minimum=0, forced=None, **settings):
    decode = beam.BeamDecoder(model, is_exact=True, **settings)
    return decode(_asked(sources, limit=limit, minimum=minimum, forced=forced))


def _said(row: np.ndarray) -> tuple[int, ...]:
    ids = row.tolist()
    return tuple(ids[: ids.index(EOS) + 1])


SOURCES = [4, 5, 6, 10]
WIDE = 130  # no prefix is ever left out


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
def test_a_beam_wide_enough_finds_the_best_of_all_hypotheses(seed, penalty):
    model = Scripted(seed)
    found = _decode(model, SOURCES, beam_size=WIDE, length_penalty=penalty)
    for source, ids, log_prob, whole in zip(SOURCES, *found, strict=True):
        assert _said(ids[0]) == _sorted(model, source, penalty)[0]
        wanted = model.log_prob(source, _said(ids[0]))
        assert log_prob[0] == pytest.approx(wanted, rel=1e-4, abs=1e-5)
        assert whole[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_best", [2, 7])
def test_the_n_best_are_the_best_of_all_hypotheses_in_their_order(seed, n_best):
    model = Scripted(seed)
    found = _decode(model, SOURCES, beam_size=WIDE, length_penalty=0.6, n_best=n_best)
    for source, ids, log_probs, whole in zip(SOURCES, *found, strict=True):
        wanted = _sorted(model, source, 0.6)[:n_best]
        assert [_said(row) for row in ids] == wanted
        each = [model.log_prob(source, row) for row in wanted]
        np.testing.assert_allclose(log_probs, each, rtol=1e-4, atol=1e-5)
        assert whole.all()


@pytest.mark.parametrize("seed", range(3))
def test_with_a_minimum_the_best_that_is_long_enough_is_found(seed):
    model = Scripted(seed)
    found = _decode(
        model,
        SOURCES,
        minimum=3,
        beam_size=WIDE,
        length_penalty=0.6,
        allowed=rules.Rules(minimum=True),
    )
    for source, ids, log_prob, _ in zip(SOURCES, *found, strict=True):
        wanted = _sorted(model, source, 0.6, lambda ids: len(ids) > 3)[0]
        assert _said(ids[0]) == wanted
        # The score is the model's own, whatever was not allowed.
        assert log_prob[0] == pytest.approx(model.log_prob(source, wanted), rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1, 2])
def test_without_repetitions_the_best_that_has_none_is_found(seed, size):
    def repeats(ids):
        grams = [ids[i : i + size] for i in range(len(ids) - size + 1)]
        return len(set(grams)) < len(grams)

    model = Scripted(seed)
    found = _decode(
        model,
        SOURCES,
        beam_size=WIDE,
        length_penalty=2.0,
        allowed=rules.Rules(no_repeat_ngram=size),
    )
    for source, ids, _, _ in zip(SOURCES, *found, strict=True):
        wanted = _sorted(model, source, 2.0, lambda ids: not repeats(ids))[0]
        assert _said(ids[0]) == wanted


@pytest.mark.parametrize("seed", range(3))
def test_of_what_begins_as_it_must_the_best_is_found(seed):
    model = Scripted(seed)
    starts = [[3, 4], [5, 0], [0, 0], [4, 4]]
    found = _decode(
        model,
        SOURCES,
        forced=starts,
        beam_size=WIDE,
        length_penalty=0.6,
        allowed=rules.Rules(forced=True),
    )
    for source, start, ids in zip(SOURCES, starts, found.ids, strict=True):
        begin = tuple(token for token in start if token)
        wanted = _sorted(model, source, 0.6, lambda ids, b=begin: ids[: len(b)] == b)
        assert _said(ids[0]) == wanted[0]


class Late(Scripted):
    """A fair ending at once, or a slow beginning and then all but certainty."""

    def __init__(self):
        super().__init__(0)
        self.table[...] = -30.0
        self.table[:, 0, :, EOS] = 0.5
        self.table[:, 0, :, 5] = 0.0
        self.table[:, 1:, :, 5] = 0.0
        self.table[:, LONGEST - 1, :, 5] = -30.0
        self.table[:, LONGEST - 1, :, EOS] = 0.0


@pytest.mark.parametrize(
    ("penalty", "is_exact", "length"),
    [(2.0, False, 1), (2.0, True, 4), (0.0, False, 1), (0.0, True, 1)],
)
def test_an_early_end_overlooks_what_only_gets_better_later(penalty, is_exact, length):
    decode = beam.BeamDecoder(
        Late(), beam_size=2, length_penalty=penalty, is_exact=is_exact
    )
    found = decode(_asked([4]))
    assert len(_said(found.ids[0, 0])) == length


@pytest.mark.parametrize("seed", range(3))
def test_the_batch_and_what_is_left_behind_change_nothing(seed):
    model = Scripted(seed)
    sources = list(range(4, 24))
    decode = beam.BeamDecoder(model, beam_size=3, length_penalty=1.0, n_best=2)
    together = decode(_asked(sources))
    for number, source in enumerate(sources):
        alone = decode(_asked([source]))
        width = alone.ids.shape[2]
        assert together.ids[number, :, :width].tolist() == alone.ids[0].tolist()
        np.testing.assert_allclose(
            together.log_probs[number], alone.log_probs[0], rtol=1e-5
        )


class Certain:
    """Of sources 1, ended by one of 4 openings, or a little later; of others, long."""

    def __init__(self):
        def log_probs(of):
            row = np.full(40, 1e-6)
            row[list(of)] = list(of.values())
            return np.log(row / row.sum())

        table = np.zeros((2, 40, 40), np.float32)
        table[:, vocabulary.BOS_ID] = log_probs(dict.fromkeys(range(20, 40), 0.05))
        for token in range(4, 40):  # on and on, as good as surely
            table[:, token] = log_probs({min(token + 1, 19) if token < 20 else 4: 1.0})
        table[:, 19] = log_probs({EOS: 1.0})
        table[1, 11] = log_probs({EOS: 0.55, 12: 0.4})
        table[1, 13] = log_probs({EOS: 1.0})
        self._table = tf.constant(table)

    def start(self, src_ids):
        return decoder.State(source=src_ids[:, 0], prefix=(src_ids[:, 0],))

    def next_logits(self, ids, state):
        at = tf.stack([tf.cast(state.prefix[0] == 1, tf.int32), ids], axis=1)
        return tf.gather_nd(self._table, at), state


def test_a_row_that_was_done_stays_so_beside_longer_ones():
    """FAULTS 62: what it might go on to say would be better by then."""
    decode = beam.BeamDecoder(Certain(), beam_size=4, length_penalty=1.0)
    alone = decode(decoding_requests.of([[1, EOS]], limit=30))
    together = decode(decoding_requests.of([[1, EOS], *[[5, EOS]] * 4], limit=30))
    assert _said(together.ids[0, 0]) == _said(alone.ids[0, 0])
    assert together.log_probs[0, 0] == pytest.approx(alone.log_probs[0, 0])


@pytest.mark.parametrize("seed", range(6))
def test_a_beam_of_1_is_greedy(seed):
    """FAULTS 62."""
    model = Scripted(seed)
    asked = _asked([4, 5, 6])
    one = greedy.GreedyDecoder(model)(asked)
    other = beam.BeamDecoder(model, beam_size=1, length_penalty=0.0)(asked)
    assert [_said(row[0]) for row in other.ids] == [_said(row[0]) for row in one.ids]
    np.testing.assert_allclose(other.log_probs, one.log_probs, rtol=1e-5)


def test_a_wider_beam_finds_better_hypotheses():
    wins = 0
    for seed in range(4):
        model = Scripted(seed)
        scores = [
            _decode(model, [4, 5], beam_size=size, length_penalty=0.0).log_probs.sum()
            for size in (1, 6)
        ]
        assert scores[1] >= scores[0] - 1e-4
        wins += scores[1] > scores[0] + 1e-4
    assert wins > 0


def _transformer():
    return transformer.Transformer(
        small_models.transformer_config(num_layers=1),
        src_vocab_size=30,
        tgt_vocab_size=30,
        shared=True,
        rng=np.random.default_rng(3),
    )


ROWS = [[7, 8, 9, 10, 2], [11, 2, 0, 0, 0], [5, 6, 7, 2, 0]]


@pytest.mark.parametrize("size", [1, 4])
def test_the_batch_a_sentence_is_in_does_not_change_its_hypothesis(size):
    """FAULTS 62."""
    decode = beam.BeamDecoder(_transformer(), beam_size=size, length_penalty=1.0)
    whole = decode(decoding_requests.of(ROWS, limit=20))
    for number, row in enumerate(ROWS):
        length = row.index(EOS) + 1
        alone = decode(decoding_requests.of([row[:length]], limit=20))
        said = [token for token in whole.ids[number, 0].tolist() if token]
        assert [token for token in alone.ids[0, 0].tolist() if token] == said
        np.testing.assert_allclose(
            alone.log_probs[0], whole.log_probs[number], rtol=1e-4
        )
    assert decode.num_traces == 1


def test_every_hypothesis_has_the_score_that_forced_decoding_gives_it():
    model = _transformer()
    found = beam.BeamDecoder(model, beam_size=4, length_penalty=1.0, n_best=4)(
        decoding_requests.of(ROWS, limit=12)
    )
    force = greedy.GreedyDecoder(model, allowed=rules.Rules(forced=True))
    for place in range(4):
        ids = found.ids[:, place]
        lengths = (ids != 0).sum(axis=1)
        asked = decoding_requests.of(ROWS, forced=ids)
        again = force(asked._replace(limits=tf.constant(lengths, tf.int32)))
        np.testing.assert_allclose(
            again.log_probs[:, 0], found.log_probs[:, place], atol=1e-4
        )


class Endless(Scripted):
    """Never says EOS."""

    def __init__(self):
        super().__init__(0)
        self.table[..., EOS] = -1e4


def test_what_does_not_end_is_cut_at_the_limit_and_flagged():
    """FAULTS 59."""
    found = _decode(Endless(), [4], limit=54, beam_size=3, length_penalty=1.0)
    assert found.finished.tolist() == [[False]]
    assert found.ids.shape[2] == 54
    assert np.isfinite(found.log_probs).all()


def test_where_too_few_end_cut_ones_come_after_them():
    model = Scripted(0)
    found = _decode(model, [4, 5], limit=1, beam_size=4, length_penalty=1.0, n_best=3)
    for source, ids, log_probs, whole in zip([4, 5], *found, strict=True):
        assert whole.tolist() == [True, False, False] or not whole.any()
        assert len({row[0] for row in ids.tolist()}) == 3
        each = [model.log_prob(source, tuple(row)) for row in ids.tolist()]
        np.testing.assert_allclose(log_probs, each, rtol=1e-4)


@pytest.mark.parametrize("num_subwords", [7, 12, 100, 8000])
def test_candidates_are_those_of_sorting_everything(num_subwords):
    draw = np.random.default_rng(num_subwords)
    scores = draw.normal(size=(3 * 4, num_subwords)).astype("f4")
    shifts = draw.normal(size=(3, 4)).astype("f4")
    values, prefixes, subwords = beam.candidates(
        tf.constant(scores), tf.constant(shifts), 8
    )
    totals = (scores.reshape(3, 4, -1) + shifts[:, :, None]).reshape(3, -1)
    order = np.argsort(-totals, axis=1)[:, :8]
    np.testing.assert_array_equal(prefixes * num_subwords + subwords, order)
    np.testing.assert_allclose(values, np.take_along_axis(totals, order, 1))
