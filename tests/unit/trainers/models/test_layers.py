import numpy as np
import pytest
import tensorflow as tf

from trainers.models import layers


def test_layer_norm_and_its_gradient_are_those_of_autodiff():
    draw = np.random.default_rng(1)
    norm = layers.LayerNorm(16)
    norm.scale.assign(draw.normal(size=16))
    norm.offset.assign(draw.normal(size=16))
    values = tf.constant(draw.normal(size=(9, 16)), tf.float32)
    weights = tf.constant(draw.normal(size=(9, 16)), tf.float32)

    def plain(inputs):
        mean, variance = tf.nn.moments(inputs, [-1], keepdims=True)
        normal = (inputs - mean) * tf.math.rsqrt(variance + 1e-6)
        return normal * norm.scale + norm.offset

    found = []
    for function in (norm, plain):
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = tf.reduce_sum(function(values) * weights)
        found.append([loss, *tape.gradient(loss, [values, norm.scale, norm.offset])])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_positions_are_those_of_the_paper_up_to_their_order():
    """Vaswani et al. 2017, section 3.5."""
    table = layers.sinusoids(tf.constant(30), 8).numpy()
    for position in range(30):
        for pair in range(4):
            angle = position / 10_000 ** (2 * pair / 8)
            assert table[position, pair] == pytest.approx(np.sin(angle), abs=1e-5)
            assert table[position, pair + 4] == pytest.approx(np.cos(angle), abs=1e-5)


def test_a_dense_layer_is_a_product_and_a_sum():
    dense = layers.Dense(3, 2, rng=np.random.default_rng(0))
    dense.bias.assign([1.0, 2.0])
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(
        dense(tf.constant(values)), values @ dense.kernel.numpy() + [1, 2], rtol=1e-6
    )


def test_embeddings_are_scaled_by_the_root_of_their_width():
    embedding = layers.Embedding(5, 16, rng=np.random.default_rng(0))
    found = embedding(tf.constant([3, 1]))
    np.testing.assert_allclose(found, embedding.vectors.numpy()[[3, 1]] * 4, rtol=1e-6)


@pytest.mark.parametrize(("size", "rows"), [(9, 16), (16, 16)])
def test_embeddings_have_a_multiple_of_8_rows_and_score_only_subwords(size, rows):
    made = layers.Embedding(size, 4, rng=np.random.default_rng(1))
    assert made.vectors.shape == (rows, 4)
    assert not made.vectors[size:].numpy().any()
    hidden = tf.constant([[1.0, 2.0, 3.0, 4.0]])
    wanted = hidden.numpy() @ made.vectors.numpy()[:size].T
    np.testing.assert_allclose(made.logits(hidden), wanted, rtol=1e-6)
