import numpy as np
import pytest
import tensorflow as tf

from pipeline import vocabulary
from tests import small_models
from trainers.decoding import decoder, greedy
from trainers.models import transformer

SIZE = 12


class Copier:
    """Says the source back; without an EOS there it goes on for ever."""

    def start(self, src_ids):
        return src_ids, tf.fill([tf.shape(src_ids)[0]], 0)

    def next_logits(self, tgt_ids, state):
        src_ids, position = state
        index = tf.minimum(position, tf.shape(src_ids)[1] - 1)
        wanted = tf.gather(src_ids, index, batch_dims=1)
        return 5.0 * tf.one_hot(wanted, SIZE), (src_ids, position + 1)


def _decode(rows, model=None):
    decoder = greedy.GreedyDecoder(model or Copier())
    return decoder(tf.constant(rows, tf.int32)), decoder


def test_a_row_ends_with_eos_and_then_pad():
    found, _ = _decode([[5, 6, 2, 0], [7, 2, 0, 0]])
    assert found.ids.tolist() == [[5, 6, 2], [7, 2, 0]]
    assert found.finished.tolist() == [True, True]


def test_the_score_is_the_log_probability_of_the_row():
    found, _ = _decode([[5, 6, 2, 0], [7, 2, 0, 0]])
    each = 5.0 - np.log(np.exp(5.0) + SIZE - 1)
    np.testing.assert_allclose(found.log_probs, [3 * each, 2 * each], rtol=1e-5)


def test_a_row_without_eos_is_cut_at_its_own_limit_and_flagged():
    """FAULTS 59."""
    found, _ = _decode([[5, 5, 5, 5], [6, 6, 0, 0]])
    limits = [decoder.MAX_LENGTH_OFFSET + 2 * 4, decoder.MAX_LENGTH_OFFSET + 2 * 2]
    assert found.finished.tolist() == [False, False]
    said = (found.ids != vocabulary.PAD_ID).sum(axis=1)
    # The second says PAD, its source's, after two tokens; its limit holds all the same.
    assert said[0] == limits[0]
    assert found.ids.shape[1] == limits[0]


def _transformer():
    return transformer.Transformer(
        small_models.transformer_config(num_layers=2),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
        shared=False,
        rng=np.random.default_rng(3),
    )


def test_decoding_is_traced_once_whatever_rows_and_lengths():
    decoder = greedy.GreedyDecoder(_transformer())
    for rows, length in ((1, 2), (3, 9), (2, 4)):
        decoder(tf.constant(np.full((rows, length), 5, np.int32)))
    assert decoder.num_traces == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_batch_a_sentence_is_in_does_not_change_its_hypothesis(seed):
    """FAULTS 62."""
    draw = np.random.default_rng(seed)
    decoder = greedy.GreedyDecoder(_transformer())
    rows = [draw.integers(4, SIZE, draw.integers(1, 9)).tolist() for _ in range(5)]
    padded = np.zeros((5, 10), np.int32)
    for index, row in enumerate(rows):
        padded[index, : len(row) + 1] = [*row, 2]
    together = decoder(tf.constant(padded))
    for index, row in enumerate(rows):
        alone = decoder(tf.constant([[*row, 2]], tf.int32))
        width = alone.ids.shape[1]
        assert alone.ids[0].tolist() == together.ids[index, :width].tolist()
        np.testing.assert_allclose(
            alone.log_probs[0], together.log_probs[index], rtol=1e-4, atol=1e-4
        )
