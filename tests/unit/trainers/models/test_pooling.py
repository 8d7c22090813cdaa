import numpy as np
import pytest
import tensorflow as tf

from trainers.models import pooling

LENGTHS = (5, 1, 3)


def _states(seed=0):
    return np.random.default_rng(seed).normal(size=(3, 5, 8)).astype(np.float32)


def _is_token(width=5):
    return np.arange(width) < np.array(LENGTHS)[:, None]


def _weighted():
    return pooling.WeightedMean(8, rng=np.random.default_rng(3))


def _numpy_weighted(module, states):
    hidden = np.tanh(states @ module.projection.kernel.numpy())
    scores = np.exp(hidden @ module.context.numpy())
    return (scores * states).sum(axis=0) / scores.sum()


@pytest.mark.parametrize("name", ["mean", "maximum", "first", "weighted"])
def test_pooling_is_that_of_numpy_over_the_tokens_alone(name):
    module = _weighted()
    ways = {
        "mean": (pooling.mean, lambda row: row.mean(axis=0)),
        "maximum": (pooling.maximum, lambda row: row.max(axis=0)),
        "first": (pooling.first, lambda row: row[0]),
        "weighted": (module, lambda row: _numpy_weighted(module, row)),
    }
    pool, oracle = ways[name]
    states = _states() - 3.0  # below 0, so that a 0 of padding would be the maximum
    found = pool(tf.constant(states), tf.constant(_is_token())).numpy()
    wanted = [oracle(states[row, :length]) for row, length in enumerate(LENGTHS)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["mean", "maximum", "first", "weighted"])
def test_what_stands_in_the_padding_and_how_much_there_is_changes_nothing(name):
    pool = _weighted() if name == "weighted" else getattr(pooling, name)
    states = _states()
    before = pool(tf.constant(states), tf.constant(_is_token())).numpy()
    wider = np.full((3, 9, 8), 1e6, np.float32)
    wider[:, :5] = np.where(_is_token()[:, :, None], states, 1e6)
    after = pool(tf.constant(wider), tf.constant(_is_token(9))).numpy()
    np.testing.assert_allclose(after, before, rtol=1e-6)


@pytest.mark.parametrize("name", ["mean", "maximum", "weighted"])
def test_padding_has_no_gradient(name):
    pool = _weighted() if name == "weighted" else getattr(pooling, name)
    states = tf.Variable(_states())
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(pool(states, tf.constant(_is_token())) ** 2)
    gradient = tape.gradient(total, states).numpy()
    assert (gradient[~_is_token()] == 0).all()
    assert np.abs(gradient[_is_token()]).max() > 0


def test_a_text_without_a_token_has_a_finite_vector():
    nothing = tf.zeros([2, 4], tf.bool)
    for pool in (pooling.mean, pooling.first, pooling.maximum, _weighted()):
        assert np.isfinite(pool(tf.ones([2, 4, 8]), nothing).numpy()).all()
