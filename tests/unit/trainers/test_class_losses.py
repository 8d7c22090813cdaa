import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils import class_weight

from trainers import class_losses

_C = 4


def _case(rows=7, seed=0, *, soft=False):
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 2, (rows, _C))
    shares = np.eye(_C)[draw.integers(_C, size=rows)]
    if soft:
        shares = draw.dirichlet(np.ones(_C), rows)
    return logits, shares


def _of(logits, shares, weights=None, smoothing=0.0):
    weights = np.ones(_C) if weights is None else weights
    return class_losses.of_logits(
        tf.constant(logits), tf.constant(shares), weights, smoothing=smoothing
    )


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_sums_are_those_of_numpy(soft, smoothing):
    logits, shares = _case(soft=soft)
    weights = np.array([0.5, 1.0, 2.0, 4.0])
    sums = _of(logits, shares, weights, smoothing)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    wanted = nll = 0.0
    for row in range(len(logits)):
        target = (1 - smoothing) * shares[row] + smoothing / _C
        wanted += shares[row] @ weights * -(target @ log_p[row])
        nll += -(shares[row] @ log_p[row])
    assert float(sums.loss_sum) == pytest.approx(wanted, rel=1e-12)
    assert float(sums.nll_sum) == pytest.approx(nll, rel=1e-12)
    right = (logits.argmax(1) == shares.argmax(1)).sum()
    assert (float(sums.num_tokens), float(sums.num_correct)) == (7, right)


@pytest.mark.parametrize("soft", [False, True])
def test_filler_rows_change_no_sum_and_have_no_gradient(soft):
    logits, shares = _case(soft=soft)
    more = np.concatenate([logits, np.full((3, _C), 5.0)])
    filled = np.concatenate([shares, np.zeros((3, _C))])
    variable = tf.Variable(more)
    with tf.GradientTape() as tape:
        sums = class_losses.of_logits(
            variable, tf.constant(filled), np.arange(1.0, 5.0), smoothing=0.1
        )
    alone = _of(logits, shares, np.arange(1.0, 5.0), 0.1)
    for with_fillers, without in zip(sums, alone, strict=True):
        assert float(with_fillers) == pytest.approx(float(without), rel=1e-12)
    gradient = tape.gradient(sums.loss_sum, variable).numpy()
    assert (gradient[-3:] == 0).all()
    assert np.abs(gradient[:-3]).max() > 0


def test_a_soft_label_that_is_hard_is_the_hard_label():
    logits, shares = _case()
    nearly = shares * (1 - 4e-12) + 1e-12
    hard, soft = _of(logits, shares, smoothing=0.1), _of(logits, nearly, smoothing=0.1)
    assert float(soft.loss_sum) == pytest.approx(float(hard.loss_sum), rel=1e-9)


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    wanted = class_weight.compute_class_weight(
        "balanced", classes=np.arange(3), y=labels
    )
    found = class_losses.balanced_weights(np.bincount(labels))
    np.testing.assert_allclose(found, wanted)
    assert found[labels].mean() == pytest.approx(1.0)


def test_a_class_that_no_text_has_leaves_the_mean_weight_at_1():
    labels = np.array([0, 0, 3])
    weights = class_losses.balanced_weights(np.bincount(labels))
    assert weights[labels].mean() == pytest.approx(1.0)
    assert np.isfinite(weights).all()
