import numpy as np
import pytest
import tensorflow as tf

from trainers.models import attention


def test_products_of_rotated_vectors_depend_on_their_distance_alone():
    """Su et al. 2021, equation 11."""
    query, key = tf.random.stateless_normal([2, 1, 1, 1, 8], seed=(1, 2))

    def product(at, other):
        turned = attention.rotated(query, [at]), attention.rotated(key, [other])
        return float(tf.reduce_sum(turned[0] * turned[1]))

    assert product(3, 1) == pytest.approx(product(12, 10), abs=1e-5)
    assert abs(product(3, 1) - product(3, 2)) > 1e-2
    together = attention.rotated(tf.concat([key, key], axis=2), [4, 5])
    np.testing.assert_allclose(
        together[:, :, 1:], attention.rotated(key, [5]), rtol=1e-5
    )
    np.testing.assert_allclose(attention.rotated(key, [0]), key)


def test_masks_hide_padding_and_the_future():
    padding = attention.padding_mask(tf.constant([[True, False]]))
    assert padding.numpy().tolist() == [[[[0.0, np.float32(-1e9)]]]]
    causal = attention.causal_mask(tf.constant(2))
    assert causal.numpy().tolist() == [[[[0.0, np.float32(-1e9)], [0.0, 0.0]]]]


def test_attention_weights_are_those_of_equation_1():
    rng = np.random.default_rng(1)
    layer = attention.Attention(16, 2, rng=rng)
    inputs, encoded = (
        rng.normal(size=(count, 16)).astype(np.float32) for count in (6, 8)
    )
    memory = layer.memory(encoded, 2)
    weights = layer.weights(tf.constant(inputs), memory, tf.zeros([1, 1, 1, 1]))
    query, key = inputs @ layer.query.kernel.numpy(), encoded @ layer.key.kernel.numpy()
    for row in range(2):
        for head in range(2):
            part = slice(8 * head, 8 * head + 8)
            ours = query[3 * row : 3 * row + 3, part]
            scores = ours @ key[4 * row : 4 * row + 4, part].T / np.sqrt(8)
            wanted = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
            np.testing.assert_allclose(weights[row, head], wanted, rtol=1e-4)
