import itertools

import numpy as np
import pytest
import tensorflow as tf

from pipeline import vocabulary
from tests import small_models
from trainers.decoding import beam, decoder, greedy
from trainers.models import transformer

SIZE = 6
LONGEST = 4
EOS = vocabulary.EOS_ID


class Scripted:
    """Logits that depend on the source, the position and everything said so far."""

    def __init__(self, seed: int):
        draw = np.random.default_rng(seed)
        self.table = draw.normal(0, 1.5, (7, LONGEST, 7, SIZE)).astype("f4")
        self.table[:, LONGEST - 1] = -30.0
        self.table[:, LONGEST - 1, :, EOS] = 0.0  # nothing is longer

    def start(self, src_ids):
        rows = tf.shape(src_ids)[0]
        return src_ids[:, 0] % 7, tf.zeros([rows], tf.int32), tf.zeros([rows], tf.int32)

    def next_logits(self, tgt_ids, state):
        source, position, said = state
        said = (3 * said + tgt_ids) % 7
        place = tf.stack([source, tf.minimum(position, LONGEST - 1), said], 1)
        return tf.gather_nd(self.table, place), (source, position + 1, said)

    def reorder(self, state, rows):
        return tuple(tf.gather(part, rows) for part in state)

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
    others = [token for token in range(SIZE) if token != EOS]
    for length in range(LONGEST):
        for words in itertools.product(others, repeat=length):
            yield (*words, EOS)


def _best(model: Scripted, source: int, penalty: float) -> tuple[int, ...]:
    def score(ids):
        return model.log_prob(source, ids) / ((5 + len(ids)) / 6) ** penalty

    return max(_every_hypothesis(), key=score)


def _decode(model, sources, **settings):
    decoder = beam.BeamDecoder(model, **settings)
    rows = [[source, EOS] for source in sources]
    return decoder(tf.constant(rows, tf.int32))


def _said(row: np.ndarray) -> tuple[int, ...]:
    ids = row.tolist()
    return tuple(ids[: ids.index(EOS) + 1])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
def test_a_beam_wide_enough_finds_the_best_of_all_hypotheses(seed, penalty):
    model = Scripted(seed)
    sources = [4, 5, 6, 10]
    found = _decode(model, sources, beam_size=130, length_penalty=penalty)
    for source, ids, log_prob, whole in zip(sources, *found, strict=True):
        assert _said(ids) == _best(model, source, penalty)
        wanted = model.log_prob(source, _said(ids))
        assert log_prob == pytest.approx(wanted, rel=1e-4, abs=1e-5)
        assert whole


@pytest.mark.parametrize("seed", range(6))
def test_a_beam_of_1_is_greedy(seed):
    model = Scripted(seed)
    rows = tf.constant([[source, EOS] for source in (4, 5, 6)])
    one = greedy.GreedyDecoder(model)(rows)
    other = beam.BeamDecoder(model, beam_size=1, length_penalty=0.0)(rows)
    assert [_said(row) for row in other.ids] == [_said(row) for row in one.ids]
    np.testing.assert_allclose(other.log_probs, one.log_probs, rtol=1e-5)


def test_a_wider_beam_finds_better_hypotheses():
    wins = 0
    for seed in range(12):
        model = Scripted(seed)
        scores = [
            _decode(model, [4, 5], beam_size=size, length_penalty=0.0).log_probs.sum()
            for size in (1, 6)
        ]
        assert scores[1] >= scores[0] - 1e-4
        wins += scores[1] > scores[0] + 1e-4
    assert wins > 3


def _transformer():
    return transformer.Transformer(
        small_models.transformer_config(num_layers=1),
        src_vocab_size=30,
        tgt_vocab_size=30,
        shared=True,
        rng=np.random.default_rng(3),
    )


@pytest.mark.parametrize("size", [1, 4])
def test_the_batch_a_sentence_is_in_does_not_change_its_hypothesis(size):
    """FAULTS 62."""
    decoder = beam.BeamDecoder(_transformer(), beam_size=size, length_penalty=1.0)
    rows = [[7, 8, 9, 10, 2], [11, 2, 0, 0, 0], [5, 6, 7, 2, 0]]
    whole = decoder(tf.constant(rows))
    for number, row in enumerate(rows):
        length = row.index(EOS) + 1
        alone = decoder(tf.constant([row[:length]]))
        said = [token for token in whole.ids[number].tolist() if token]
        assert [token for token in alone.ids[0].tolist() if token] == said
        np.testing.assert_allclose(
            alone.log_probs[0], whole.log_probs[number], rtol=1e-4
        )
    assert decoder.num_traces == 1


class Endless(Scripted):
    """Never says EOS."""

    def __init__(self):
        super().__init__(0)
        self.table[..., EOS] = -1e4


def test_what_does_not_end_is_cut_at_the_limit_and_flagged():
    """FAULTS 59."""
    found = _decode(Endless(), [4], beam_size=3, length_penalty=1.0)
    assert found.finished.tolist() == [False]
    assert found.ids.shape[1] == decoder.MAX_LENGTH_OFFSET + 2 * 2
    assert np.isfinite(found.log_probs).all()
