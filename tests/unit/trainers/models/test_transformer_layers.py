import numpy as np
import tensorflow as tf

from tests import small_models
from trainers import noise
from trainers.models import attention, transformer_layers


def test_swiglu_is_its_formula():
    layer = transformer_layers.FeedForward(
        small_models.transformer_config(activation="swiglu"),
        rng=np.random.default_rng(1),
    )
    values = np.random.default_rng(2).normal(size=(5, 16)).astype(np.float32)
    inner = values @ layer.inner.kernel.numpy()
    gate, value = inner[:, :24], inner[:, 24:]
    wanted = (gate / (1 + np.exp(-gate)) * value) @ layer.outer.kernel.numpy()
    np.testing.assert_allclose(layer(tf.constant(values)), wanted, atol=1e-5)


def test_a_layer_that_tells_its_attention_says_the_same():
    rng = np.random.default_rng(1)
    layer = transformer_layers.DecoderLayer(small_models.transformer_config(), rng=rng)
    stream = tf.constant(rng.normal(size=(6, 16)), tf.float32)
    encoded = tf.constant(rng.normal(size=(8, 16)), tf.float32)
    memory = layer.source_attention.memory(encoded, 2)
    masks = attention.causal_mask(3), attention.padding_mask(tf.ones([2, 4], tf.bool))
    plain = layer(stream, memory, *masks, noise.NONE, "")
    told, _ = layer.with_weights(stream, memory, *masks)
    np.testing.assert_array_equal(plain, told)
