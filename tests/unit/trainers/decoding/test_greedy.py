import numpy as np
import pytest
import tensorflow as tf

from pipeline import vocabulary
from tests import decoding_requests, small_models
from trainers.decoding import decoder, greedy, rules
from trainers.models import transformer

SIZE = 12


class Copier:
    """Says the source back; without an EOS there it goes on for ever."""

    def start(self, src_ids):
        position = tf.fill([tf.shape(src_ids)[0]], 0)
        return decoder.State(source=(), prefix=(src_ids, position))

    def next_logits(self, tgt_ids, state):
        src_ids, position = state.prefix
        index = tf.minimum(position, tf.shape(src_ids)[1] - 1)
        wanted = tf.gather(src_ids, index, batch_dims=1)
        state = state._replace(prefix=(src_ids, position + 1))
        return 5.0 * tf.one_hot(wanted, SIZE), state


def _decode(rows, **asked):
    decode = greedy.GreedyDecoder(Copier())
    return decode(decoding_requests.of(rows, **asked))


def test_a_row_ends_with_eos_and_then_pad():
    found = _decode([[5, 6, 2, 0], [7, 2, 0, 0]])
    assert found.ids[:, 0].tolist() == [[5, 6, 2], [7, 2, 0]]
    assert found.finished[:, 0].tolist() == [True, True]


def test_the_score_is_the_log_probability_of_the_row():
    found = _decode([[5, 6, 2, 0], [7, 2, 0, 0]])
    each = 5.0 - np.log(np.exp(5.0) + SIZE - 1)
    np.testing.assert_allclose(found.log_probs[:, 0], [3 * each, 2 * each], rtol=1e-5)


def test_a_row_without_eos_is_cut_at_its_own_limit_and_flagged():
    """FAULTS 59."""
    asked = decoding_requests.of([[5, 5, 5], [6, 6, 6], [7, 2, 0]])
    asked = asked._replace(limits=tf.constant([7, 4, 9]))
    found = greedy.GreedyDecoder(Copier())(asked)
    assert found.finished[:, 0].tolist() == [False, False, True]
    assert found.ids[:, 0].tolist() == [
        [5] * 7,
        [6] * 4 + [0] * 3,
        [7, 2, 0, 0, 0, 0, 0],
    ]


class Silent(Copier):
    """Would say PAD, else BOS, else EOS."""

    def next_logits(self, tgt_ids, state):
        logits = tf.tile([[9.0, 8.0, 7.0] + [0.0] * 9], [tf.size(tgt_ids), 1])
        return logits, state


def test_pad_and_bos_are_never_said():
    """The score of what is said is the model's own all the same."""
    found = greedy.GreedyDecoder(Silent())(decoding_requests.of([[5, 2], [6, 2]]))
    assert found.ids[:, 0].tolist() == [[2], [2]]
    each = 7.0 - np.log(np.exp([9.0, 8.0, 7.0]).sum() + 9)
    np.testing.assert_allclose(found.log_probs[:, 0], [each, each], rtol=1e-5)


def test_rows_that_are_left_behind_keep_what_they_said():
    """Most rows end long before the last: the batch shrinks several times."""
    draw = np.random.default_rng(1)
    rows = np.zeros((40, 31), np.int32)
    for number, row in enumerate(rows):
        length = int(draw.integers(0, 31)) if number % 8 == 0 else number % 3
        row[:length] = draw.integers(4, SIZE, length)
        row[length] = vocabulary.EOS_ID
    found = _decode(rows, limit=40)
    width = found.ids.shape[2]
    assert found.ids[:, 0].tolist() == rows[:, :width].tolist()
    assert not rows[:, width:].any()
    assert found.finished.all()


def _transformer():
    return transformer.Transformer(
        small_models.transformer_config(num_layers=2),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
        shared=False,
        rng=np.random.default_rng(3),
    )


def test_decoding_is_traced_once_whatever_rows_and_lengths():
    decode = greedy.GreedyDecoder(_transformer())
    for rows, length in ((1, 2), (3, 9), (2, 4)):
        decode(decoding_requests.of(np.full((rows, length), 5), limit=3 * length))
    assert decode.num_traces == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_batch_a_sentence_is_in_does_not_change_its_hypothesis(seed):
    """FAULTS 62."""
    draw = np.random.default_rng(seed)
    decode = greedy.GreedyDecoder(_transformer())
    rows = [draw.integers(4, SIZE, draw.integers(1, 9)).tolist() for _ in range(5)]
    padded = np.zeros((5, 10), np.int32)
    for index, row in enumerate(rows):
        padded[index, : len(row) + 1] = [*row, 2]
    together = decode(decoding_requests.of(padded))
    for index, row in enumerate(rows):
        alone = decode(decoding_requests.of([[*row, 2]]))
        width = alone.ids.shape[2]
        assert alone.ids[0, 0].tolist() == together.ids[index, 0, :width].tolist()
        np.testing.assert_allclose(
            alone.log_probs[0], together.log_probs[index], rtol=1e-4, atol=1e-4
        )


def test_what_was_said_when_it_is_forced_has_the_same_score():
    rows = [[7, 8, 9, 10, 2], [11, 2, 0, 0, 0], [5, 6, 7, 2, 0]]
    model = _transformer()
    said = greedy.GreedyDecoder(model)(decoding_requests.of(rows, limit=9))
    forced = greedy.GreedyDecoder(model, allowed=rules.Rules(forced=True))(
        decoding_requests.of(rows, limit=9, forced=said.ids[:, 0])
    )
    assert forced.ids.tolist() == said.ids.tolist()
    np.testing.assert_allclose(forced.log_probs, said.log_probs, atol=1e-4)


def test_the_score_of_a_forced_target_is_that_of_the_training_pass():
    from pipeline import batching
    from trainers import noise

    model = _transformer()
    sources = tf.constant([[7, 8, 2], [5, 2, 0]])
    targets = tf.constant([[9, 10, 11, 2], [6, 2, 0, 0]])
    begin = tf.fill([2, 1], vocabulary.BOS_ID)
    batch = batching.Batch(
        sources, tf.concat([begin, targets[:, :-1]], axis=1), targets
    )
    losses = model.losses(batch, smoothing=tf.constant(0.0), draw=noise.NONE)
    forced = greedy.GreedyDecoder(model, allowed=rules.Rules(forced=True))(
        decoding_requests.of(sources, forced=targets)
    )
    total = -float(forced.log_probs.sum())
    assert total == pytest.approx(float(losses.loss_sum), rel=1e-4)
