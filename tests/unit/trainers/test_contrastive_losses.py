import numpy as np
import pytest
import tensorflow as tf

from trainers import contrastive_losses


def _case(rows=5, seed=0):
    draw = np.random.default_rng(seed)
    src, tgt = draw.normal(size=(2, rows, 8))
    return [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (src, tgt)]


def _of(src, tgt, is_real, smoothing=0.0):
    return contrastive_losses.of_vectors(
        tf.constant(src),
        tf.constant(tgt),
        tf.constant(is_real),
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
def test_filler_rows_are_no_wrong_answers_and_have_no_gradient(smoothing):
    src, tgt = _case()
    alone = _of(src, tgt, [True] * 5, smoothing)
    # Fillers that would be the best answers to everything.
    filled = [tf.Variable(np.concatenate([side, src[:2]])) for side in (src, tgt)]
    with tf.GradientTape() as tape:
        sums = contrastive_losses.of_vectors(
            *filled,
            tf.constant([True] * 5 + [False] * 2),
            temperature=0.2,
            smoothing=smoothing,
        )
    for with_fillers, without in zip(sums, alone, strict=True):
        assert float(with_fillers) == pytest.approx(float(without), rel=1e-9)
    for gradient in tape.gradient(sums.loss_sum, filled):
        assert (gradient.numpy()[5:] == 0).all()


def test_a_batch_of_fillers_alone_is_0_and_finite():
    src, tgt = _case(2)
    assert [float(value) for value in _of(src, tgt, [False] * 2)] == [0, 0, 0, 0]
