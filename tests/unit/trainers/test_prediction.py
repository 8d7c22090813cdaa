import numpy as np
import pytest

from trainers import prediction


def _sums(ids):
    values = ids.numpy()
    return values.sum(axis=1), np.stack([values[:, 0], (values > 0).sum(axis=1)], 1)


def test_answers_come_in_the_order_of_the_texts_whatever_their_lengths():
    draw = np.random.default_rng(0)
    texts = [draw.integers(4, 99, draw.integers(0, 30)).tolist() for _ in range(700)]
    sums, others = prediction.in_order(texts, _sums)
    assert sums.tolist() == [sum(text) + 2 for text in texts]  # and EOS, which is 2
    assert others.tolist() == [[[*text, 2][0], len(text) + 1] for text in texts]


@pytest.mark.parametrize("texts", [[[]], [[], [5], []]])
def test_an_empty_text_is_only_eos(texts):
    sums, _ = prediction.in_order(texts, _sums)
    assert sums.tolist() == [sum(text) + 2 for text in texts]


def test_a_text_that_is_too_long_is_cut(caplog):
    sums, others = prediction.in_order([[4], [4] * 5000], _sums)
    assert others[1].tolist() == [4, prediction.MAX_TOKENS + 1]
    assert sums[1] == 4 * prediction.MAX_TOKENS + 2
    assert "line 2: 5000 tokens, cut to 1024" in caplog.text
    prediction.in_order([[4] * 5000], _sums, first_line=4097)
    assert "line 4097: 5000 tokens" in caplog.text


def test_batches_are_of_bounded_size():
    seen = []

    def run(ids):
        seen.append(tuple(ids.shape))
        return (ids.numpy().sum(axis=1),)

    prediction.in_order([[5] * (1 + 13 * k % 300) for k in range(2000)], run)
    assert len(seen) > 10
    assert max(rows * width for rows, width in seen) <= 8192
    assert max(rows for rows, _ in seen) <= 512
