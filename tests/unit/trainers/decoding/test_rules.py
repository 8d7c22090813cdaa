import numpy as np
import pytest
import tensorflow as tf

from tests import decoding_requests
from trainers.decoding import decoder, rules


def _repetitions(ids: list[int], size: int) -> set[int]:
    """What would complete a sequence said before, word by word."""
    said = {tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)}
    return {
        token
        for token in range(20)
        if tuple([*ids, token][len(ids) + 1 - size :]) in said
    }


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 9, 30])
def test_repetitions_are_those_found_word_by_word(size, length):
    draw = np.random.default_rng(7 * size + length)
    ids = draw.integers(4, 8, (6, length)).astype(np.int32)
    found = rules.repetitions(tf.constant(ids), size).numpy().tolist()
    for row in range(6):
        wanted = _repetitions(ids[row].tolist(), size)
        assert {token for number, token in found if number == row} == wanted


def _apply(asked: rules.Rules, request: decoder.Request, ids, position=1):
    rows = tf.range(tf.shape(request.limits)[0])
    state = decoder.State((), ())
    search = decoder.Search(tf.constant(position), rows, request, (), state)
    logits = tf.reshape(tf.range(2 * 8, dtype=tf.float32), [2, 8])
    return (asked.apply(logits, tf.constant(ids), search) <= rules.BLOCKED).numpy()


def test_eos_waits_for_the_minimum_of_its_row():
    request = decoding_requests.of([[5, 2], [6, 2]])
    request = request._replace(minimum=tf.constant([1, 2]))
    blocked = _apply(rules.Rules(minimum=True), request, [[5], [5]])
    assert np.flatnonzero(blocked[0]).tolist() == [0, 1]
    assert np.flatnonzero(blocked[1]).tolist() == [0, 1, 2]


def test_where_all_is_blocked_it_is_still_a_subword_that_comes():
    request = decoding_requests.of([[5, 2]], minimum=9)
    ids = [[3, 4, 5, 6, 7]]
    search = decoder.Search(
        tf.constant(5), tf.range(1), request, (), decoder.State((), ())
    )
    asked = rules.Rules(no_repeat_ngram=1, minimum=True)
    scores = asked.apply(tf.zeros([1, 8]), tf.constant(ids), search)[0].numpy()
    assert (scores <= rules.BLOCKED).all()
    assert scores[:2].max() < scores[2:].min()


def test_what_is_forced_comes_even_if_it_repeats_and_is_early():
    request = decoding_requests.of([[5, 2], [6, 2]], minimum=4, forced=[[5, 5], [5, 2]])
    asked = rules.Rules(no_repeat_ngram=1, minimum=True, forced=True)
    blocked = _apply(asked, request, [[5], [5]])
    assert np.flatnonzero(~blocked[0]).tolist() == [5]
    assert np.flatnonzero(~blocked[1]).tolist() == [2]


def test_after_its_prefix_a_row_is_free():
    request = decoding_requests.of([[5, 2], [6, 2]], forced=[[5, 0], [5, 6]])
    asked = rules.Rules(forced=True)
    assert [row.sum() for row in _apply(asked, request, [[5], [5]])] == [2, 7]
    after = _apply(asked, request, [[5, 6], [5, 6]], position=2)
    assert [np.flatnonzero(row).tolist() for row in after] == [[0, 1], [0, 1]]


def test_prefixes_of_a_row_share_its_rules():
    request = decoding_requests.of([[5, 2]], forced=[[7, 6]])
    blocked = _apply(rules.Rules(forced=True), request, [[7], [7]])
    assert [np.flatnonzero(~row).tolist() for row in blocked] == [[6], [6]]
