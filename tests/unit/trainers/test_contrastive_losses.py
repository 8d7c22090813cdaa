import numpy as np
import pytest
import tensorflow as tf

from trainers import contrastive_losses


def _case(rows=5, seed=0):
    draw = np.random.default_rng(seed)
    src, tgt = draw.normal(size=(2, rows, 8))
    return [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (src, tgt)]


def _of(src, tgt, is_real, smoothing=0.0, same=(None, None)):
    """Takes src and tgt as numpy has them; no two rows are the same if not given."""
    each = np.eye(len(is_real), dtype=bool)
    is_same_src, is_same_tgt = (each if given is None else given for given in same)
    return contrastive_losses.of_vectors(
        tf.convert_to_tensor(src),
        tf.convert_to_tensor(tgt),
        tf.constant(is_real),
        is_same_src=tf.constant(is_same_src),
        is_same_tgt=tf.constant(is_same_tgt),
        temperature=0.2,
        smoothing=smoothing,
    )


def _log_softmax(values):
    return values - np.log(np.exp(values).sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_sums_are_those_of_numpy_pair_by_pair(smoothing):
    src, tgt = _case()
    sums = _of(src, tgt, [True] * 5, smoothing)
    wanted = nll = 0.0
    for row in range(5):
        for one, others in ((src, tgt), (tgt, src)):
            log_p = _log_softmax(others @ one[row] / 0.2)
            target = np.full(5, smoothing / 5)
            target[row] += 1 - smoothing
            wanted -= target @ log_p / 2
            nll -= log_p[row] / 2
    assert float(sums.loss_sum) == pytest.approx(wanted, rel=1e-9)
    assert float(sums.nll_sum) == pytest.approx(nll, rel=1e-9)
    right = ((src @ tgt.T).argmax(axis=1) == np.arange(5)).sum()
    assert (float(sums.num_tokens), float(sums.num_correct)) == (5, right)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_text_that_comes_again_is_no_wrong_answer(smoothing):
    """Rows 0 and 3 have one target, rows 1, 2 and 4 one source."""
    src, tgt = _case()
    src[[2, 4]], tgt[3] = src[1], tgt[0]
    same = [(side @ side.T > 1 - 1e-9) for side in (src, tgt)]
    assert [int(matrix.sum()) for matrix in same] == [11, 7]
    sums = _of(src, tgt, [True] * 5, smoothing, same)
    wanted = nll = 0.0
    for one, others, is_same in ((src, tgt, same[1]), (tgt, src, same[0])):
        for row in range(5):
            answers = [row, *np.flatnonzero(~is_same[row])]
            log_p = _log_softmax(others[answers] @ one[row] / 0.2)
            nll -= log_p[0] / 2
            wanted -= ((1 - smoothing) * log_p[0] + smoothing * log_p.mean()) / 2
    assert float(sums.nll_sum) == pytest.approx(nll, rel=1e-9)
    assert float(sums.loss_sum) == pytest.approx(wanted, rel=1e-9)


def test_the_same_target_in_another_row_is_right_too():
    src, tgt = _case(3)
    tgt[:] = tgt[0]
    everywhere = np.ones((3, 3), bool)
    sums = _of(src, tgt, [True] * 3, same=(None, everywhere))
    assert float(sums.num_correct) == 3


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_filler_rows_are_no_wrong_answers_and_have_no_gradient(smoothing):
    src, tgt = _case()
    alone = _of(src, tgt, [True] * 5, smoothing)
    # Fillers that would be the best answers to everything.
    filled = [tf.Variable(np.concatenate([side, src[:2]])) for side in (src, tgt)]
    with tf.GradientTape() as tape:
        sums = _of(*filled, [True] * 5 + [False] * 2, smoothing)
    for with_fillers, without in zip(sums, alone, strict=True):
        assert float(with_fillers) == pytest.approx(float(without), rel=1e-9)
    for gradient in tape.gradient(sums.loss_sum, filled):
        assert (gradient.numpy()[5:] == 0).all()


def test_a_batch_of_fillers_alone_is_0_and_finite():
    src, tgt = _case(2)
    assert [float(value) for value in _of(src, tgt, [False] * 2)] == [0, 0, 0, 0]
