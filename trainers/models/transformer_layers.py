"""What a Transformer is made of: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.

B rows, S source length, T target length, D d_model, H heads. Inside, all positions of a
batch are one matrix [B * T, D].
"""

import numpy as np
import tensorflow as tf

from trainers import noise
from trainers.models import attention, layers
from trainers.models import config as model_config


class FeedForward(tf.Module):
    """f(x W1 + b1) W2 + b2, section 3.3.

    With SwiGLU, (swish(x W1 + b1) * (x V + c)) W2 + b2: Shazeer 2020,
    https://arxiv.org/abs/2002.05202, equation 6; W1 and V are one kernel.
    """

    def __init__(
        self, config: model_config.ModelConfig, *, rng: np.random.Generator
    ) -> None:
        """Makes the two layers."""
        super().__init__()
        self._activation = config.transformer.activation
        width, size = config.d_model, config.transformer.d_ff
        inner = 2 * size if self._activation == "swiglu" else size
        self.inner = layers.Dense(width, inner, rng=rng)
        self.outer = layers.Dense(size, width, rng=rng)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float [N, D] for float [N, D]."""
        return self.outer(self._activated(self.inner(inputs)))

    def _activated(self, values: tf.Tensor) -> tf.Tensor:
        if self._activation == "gelu":
            return tf.nn.gelu(values)
        if self._activation == "swiglu":
            gate, value = tf.split(values, 2, axis=1)
            return tf.nn.silu(gate) * value
        return tf.nn.relu(values)


class Residual(tf.Module):
    """Normalisation, dropout and the sum around a sublayer."""

    def __init__(self, config: model_config.ModelConfig) -> None:
        """Makes the normalisation."""
        super().__init__()
        self.norm = layers.LayerNorm(config.d_model)
        self._pre = config.transformer.norm == "pre"
        self._rate = config.dropout_rate

    def before(self, stream: tf.Tensor) -> tf.Tensor:
        """Returns what the sublayer reads, [N, D]."""
        return self.norm(stream) if self._pre else stream

    def after(
        self, stream: tf.Tensor, output: tf.Tensor, draw: noise.Noise, place: str
    ) -> tf.Tensor:
        """Returns the stream with the sublayer's output added, [N, D]."""
        added = stream + draw.dropout(output, self._rate, place)
        return added if self._pre else self.norm(added)


class _Layer(tf.Module):
    """What the layers of both sides do; each makes its own sublayers."""

    attention: attention.Attention
    attention_residual: Residual
    feed_forward: FeedForward
    feed_forward_residual: Residual

    def _attend_to_self(
        self,
        stream: tf.Tensor,
        num_rows: tf.Tensor,
        mask: tf.Tensor,
        draw: noise.Noise,
        place: str,
    ) -> tf.Tensor:
        around, here = self.attention_residual, f"{place}/attention"
        inputs = around.before(stream)
        output = self.attention.to_self(inputs, num_rows, mask, draw, here)
        return around.after(stream, output, draw, here)

    def _feed_forward(
        self, stream: tf.Tensor, draw: noise.Noise, place: str
    ) -> tf.Tensor:
        around = self.feed_forward_residual
        output = self.feed_forward(around.before(stream))
        return around.after(stream, output, draw, f"{place}/feed_forward")


class EncoderLayer(_Layer):
    """Self-attention and feed-forward."""

    def __init__(
        self, config: model_config.ModelConfig, *, rng: np.random.Generator
    ) -> None:
        """Makes the sublayers."""
        super().__init__()
        self.attention = _to_self(config, rng)
        self.attention_residual = Residual(config)
        self.feed_forward = FeedForward(config, rng=rng)
        self.feed_forward_residual = Residual(config)

    def __call__(
        self,
        stream: tf.Tensor,
        num_rows: tf.Tensor,
        mask: tf.Tensor,
        draw: noise.Noise,
        place: str,
    ) -> tf.Tensor:
        """Returns float [B * S, D] for float [B * S, D]."""
        stream = self._attend_to_self(stream, num_rows, mask, draw, place)
        return self._feed_forward(stream, draw, place)


class DecoderLayer(_Layer):
    """Masked self-attention, attention to the source, feed-forward."""

    def __init__(
        self, config: model_config.ModelConfig, *, rng: np.random.Generator
    ) -> None:
        """Makes the sublayers."""
        super().__init__()
        self.attention = _to_self(config, rng)
        self.attention_residual = Residual(config)
        self.source_attention = _attention(
            config, rng, rotary=config.transformer.positions == "rotary_all"
        )
        self.source_residual = Residual(config)
        self.feed_forward = FeedForward(config, rng=rng)
        self.feed_forward_residual = Residual(config)

    def __call__(
        self,
        stream: tf.Tensor,
        memory: attention.KeysValues,
        causal: tf.Tensor,
        mask: tf.Tensor,
        draw: noise.Noise,
        place: str,
    ) -> tf.Tensor:
        """Returns float [B * T, D] for float [B * T, D]."""
        num_rows = tf.shape(memory.keys)[0]
        stream = self._attend_to_self(stream, num_rows, causal, draw, place)
        return self._rest(stream, memory, mask, draw, place)

    def with_weights(
        self,
        stream: tf.Tensor,
        memory: attention.KeysValues,
        causal: tf.Tensor,
        mask: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the output, [B * T, D], and the attention to the source.

        The second is float [B, H, T, S]; nothing is dropped.
        """
        num_rows = tf.shape(memory.keys)[0]
        stream = self._attend_to_self(stream, num_rows, causal, noise.NONE, "")
        inputs = self.source_residual.before(stream)
        weights = self.source_attention.weights(inputs, memory, mask)
        return self._rest(stream, memory, mask, noise.NONE, ""), weights

    def next(
        self,
        stream: tf.Tensor,
        prefix: attention.KeysValues,
        memory: attention.KeysValues,
        mask: tf.Tensor,
    ) -> tuple[tf.Tensor, attention.KeysValues]:
        """Returns one position's output, [B, D], and the prefix with it, t + 1 long."""
        around = self.attention_residual
        inputs = around.before(stream)
        position = tf.shape(prefix.keys)[2]
        new = self.attention.memory(inputs, tf.shape(inputs)[0], position=position)
        prefix = attention.KeysValues(
            keys=tf.concat([prefix.keys, new.keys], axis=2),
            values=tf.concat([prefix.values, new.values], axis=2),
        )
        output = self.attention.to_memory(
            inputs, prefix, tf.zeros([1, 1, 1, 1]), position=position
        )
        stream = around.after(stream, output, noise.NONE, "")
        stream = self._rest(stream, memory, mask, noise.NONE, "", position=position)
        return stream, prefix

    def _rest(
        self,
        stream: tf.Tensor,
        memory: attention.KeysValues,
        mask: tf.Tensor,
        draw: noise.Noise,
        place: str,
        *,
        position: tf.Tensor | None = None,
    ) -> tf.Tensor:
        around, here = self.source_residual, f"{place}/source_attention"
        inputs = around.before(stream)
        output = self.source_attention.to_memory(
            inputs, memory, mask, draw, here, position=position
        )
        stream = around.after(stream, output, draw, here)
        return self._feed_forward(stream, draw, place)


def _to_self(
    config: model_config.ModelConfig, rng: np.random.Generator
) -> attention.Attention:
    return _attention(config, rng, rotary=config.transformer.is_rotary)


def _attention(
    config: model_config.ModelConfig, rng: np.random.Generator, *, rotary: bool
) -> attention.Attention:
    return attention.Attention(
        config.d_model,
        config.transformer.num_heads,
        rng=rng,
        rotary=rotary,
        dropout_rate=config.transformer.attention_dropout_rate,
    )


def embed(
    embedding: layers.Embedding,
    ids: tf.Tensor,
    dropout_rate: float,
    draw: noise.Noise,
    place: str,
    *,
    positions: layers.Positions | None,
    is_rotary: bool,
    dtype: tf.DType,
) -> tf.Tensor:
    """Returns embeddings with positions added, [B * T, D], for int32 [B, T].

    Args:
        embedding: Of the subwords.
        ids: int32 [B, T].
        dropout_rate: Share of the sums dropped.
        draw: Of dropout.
        place: Of that noise.
        positions: What is added if it is learned; None for sinusoids.
        is_rotary: Whether nothing is added.
        dtype: Of what is returned.
    """
    num_rows, length = tf.unstack(tf.shape(ids))
    stream = embedding(tf.reshape(ids, [-1]))
    if not is_rotary:
        added = positions_from(positions, tf.constant(0), length, stream)
        stream += tf.tile(added, [num_rows, 1])
    return draw.dropout(tf.cast(stream, dtype), dropout_rate, place)


def positions_from(
    table: layers.Positions | None, first: tf.Tensor, count: tf.Tensor, like: tf.Tensor
) -> tf.Tensor:
    """Returns what is added at positions from `first` on, [count, D], typed `like`.

    Args:
        table: What is learned; None for sinusoids.
        first: The first position, int32 [].
        count: How many positions, int32 [].
        like: What they are added to, [N, D].
    """
    if table is None:
        found = layers.sinusoids(first + count, like.shape[1])[first:]
    else:
        found = table(first, count)
    return tf.cast(found, like.dtype)
