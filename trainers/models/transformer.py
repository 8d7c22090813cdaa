"""The Transformer: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.

B rows, S source length, T target length, D d_model, H heads, V vocabulary. Inside, all
positions of a batch are one matrix [B * T, D].
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline import batching, vocabulary
from trainers import losses, noise
from trainers.decoding import decoder
from trainers.models import attention, layers
from trainers.models import config as model_config


class Memory(NamedTuple):
    """What decoding knows of the source.

    Attributes:
        layers: Keys and values, one a layer, [B, H, S, D/H].
        mask: Hides the padding, [B, 1, 1, S].
    """

    layers: tuple[attention.KeysValues, ...]
    mask: tf.Tensor


class FeedForward(tf.Module):
    """max(0, x W1 + b1) W2 + b2, section 3.3."""

    def __init__(
        self, config: model_config.ModelConfig, *, rng: np.random.Generator
    ) -> None:
        """Makes the two layers."""
        super().__init__()
        self.inner = layers.Dense(config.d_model, config.transformer.d_ff, rng=rng)
        self.outer = layers.Dense(config.transformer.d_ff, config.d_model, rng=rng)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float [N, D] for float [N, D]."""
        return self.outer(tf.nn.relu(self.inner(inputs)))


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


class EncoderLayer(tf.Module):
    """Self-attention and feed-forward."""

    def __init__(
        self, config: model_config.ModelConfig, *, rng: np.random.Generator
    ) -> None:
        """Makes the sublayers."""
        super().__init__()
        self.attention = attention.Attention(
            config.d_model, config.transformer.num_heads, rng=rng
        )
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
        around = self.attention_residual
        output = self.attention.to_self(around.before(stream), num_rows, mask)
        stream = around.after(stream, output, draw, f"{place}/attention")
        around = self.feed_forward_residual
        output = self.feed_forward(around.before(stream))
        return around.after(stream, output, draw, f"{place}/feed_forward")


class DecoderLayer(tf.Module):
    """Masked self-attention, attention to the source, feed-forward."""

    def __init__(
        self, config: model_config.ModelConfig, *, rng: np.random.Generator
    ) -> None:
        """Makes the sublayers."""
        super().__init__()
        heads = config.transformer.num_heads
        self.attention = attention.Attention(config.d_model, heads, rng=rng)
        self.attention_residual = Residual(config)
        self.source_attention = attention.Attention(config.d_model, heads, rng=rng)
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
        around = self.attention_residual
        output = self.attention.to_self(around.before(stream), num_rows, causal)
        stream = around.after(stream, output, draw, f"{place}/attention")
        return self._rest(stream, memory, mask, draw, place)

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
        new = self.attention.memory(inputs, tf.shape(inputs)[0])
        prefix = attention.KeysValues(
            keys=tf.concat([prefix.keys, new.keys], axis=2),
            values=tf.concat([prefix.values, new.values], axis=2),
        )
        output = self.attention.to_memory(inputs, prefix, tf.zeros([1, 1, 1, 1]))
        stream = around.after(stream, output, noise.NONE, "")
        return self._rest(stream, memory, mask, noise.NONE, ""), prefix

    def _rest(
        self,
        stream: tf.Tensor,
        memory: attention.KeysValues,
        mask: tf.Tensor,
        draw: noise.Noise,
        place: str,
    ) -> tf.Tensor:
        around = self.source_residual
        output = self.source_attention.to_memory(around.before(stream), memory, mask)
        stream = around.after(stream, output, draw, f"{place}/source_attention")
        around = self.feed_forward_residual
        output = self.feed_forward(around.before(stream))
        return around.after(stream, output, draw, f"{place}/feed_forward")


class Transformer(tf.Module):
    """Encoder and decoder over subwords; the output layer is the target embedding."""

    def __init__(
        self,
        config: model_config.ModelConfig,
        *,
        src_vocab_size: int,
        tgt_vocab_size: int,
        shared: bool,
        rng: np.random.Generator,
        dtype: str = "float32",
    ) -> None:
        """Makes the model.

        Args:
            config: Sizes.
            src_vocab_size: Number of source subwords.
            tgt_vocab_size: Number of target subwords.
            shared: Whether both sides have one vocabulary, and so one embedding
                (section 3.4).
            rng: Draws the initial weights.
            dtype: What it computes in; its weights are float32.
        """
        super().__init__()
        self._config = config
        self._dtype = tf.as_dtype(dtype)
        self._pre = config.transformer.norm == "pre"
        self.tgt_embedding = layers.Embedding(tgt_vocab_size, config.d_model, rng=rng)
        self.src_embedding = self.tgt_embedding
        if not shared:
            self.src_embedding = layers.Embedding(
                src_vocab_size, config.d_model, rng=rng
            )
        count = range(config.num_layers)
        self.encoder = [EncoderLayer(config, rng=rng) for _ in count]
        self.decoder = [DecoderLayer(config, rng=rng) for _ in count]
        if self._pre:
            self.encoder_norm = layers.LayerNorm(config.d_model)
            self.decoder_norm = layers.LayerNorm(config.d_model)

    def losses(
        self, batch: batching.Batch, *, smoothing: tf.Tensor, draw: noise.Noise
    ) -> losses.Losses:
        """Returns the loss over the real target tokens of a batch, in sums."""
        hidden = self._hidden(batch, draw)
        flat = tf.reshape(batch.tgt_out_ids, [-1])
        real = tf.where(flat != vocabulary.PAD_ID)[:, 0]
        return losses.of_hidden(
            tf.gather(hidden, real),
            tf.convert_to_tensor(self.tgt_embedding.vectors),
            tf.gather(flat, real),
            num_subwords=self.tgt_embedding.size,
            smoothing=smoothing,
        )

    def start(self, src_ids: tf.Tensor) -> decoder.State:
        """Returns the state before the first target position, for int32 [B, S].

        The source's part is a `Memory`; the prefixes' part is the keys and values of
        the positions so far, one a layer, [N, H, t, D/H].
        """
        num_rows = tf.shape(src_ids)[0]
        encoded, mask = self._encode(src_ids, noise.NONE)
        heads = self._config.transformer.num_heads
        size = self._config.d_model // heads
        nothing = tf.zeros([num_rows, heads, 0, size], self._dtype)
        memory = tuple(
            layer.source_attention.memory(encoded, num_rows) for layer in self.decoder
        )
        return decoder.State(
            source=Memory(memory, mask),
            prefix=tuple(attention.KeysValues(nothing, nothing) for _ in self.decoder),
        )

    def next_logits(
        self, tgt_ids: tf.Tensor, state: decoder.State
    ) -> tuple[tf.Tensor, decoder.State]:
        """Returns scores of what follows, [N, V], for the last ids, int32 [N].

        All prefixes of a source attend to its one memory, as positions of one row.
        """
        memory: Memory = state.source
        position = tf.shape(state.prefix[0].keys)[2]
        positions = layers.sinusoids(position + 1, self._config.d_model)
        stream = tf.cast(self.tgt_embedding(tgt_ids), self._dtype)
        stream += tf.cast(positions[-1:], self._dtype)
        prefix = []
        for layer, old, source in zip(
            self.decoder, state.prefix, memory.layers, strict=True
        ):
            stream, new = layer.next(stream, old, source, memory.mask)
            prefix.append(new)
        if self._pre:
            stream = self.decoder_norm(stream)
        logits = self.tgt_embedding.logits(stream)
        return logits, state._replace(prefix=tuple(prefix))

    def _hidden(self, batch: batching.Batch, draw: noise.Noise) -> tf.Tensor:
        """Returns the decoder's output, float [B * T, D]."""
        encoded, mask = self._encode(batch.src_ids, draw)
        num_rows, length = tf.unstack(tf.shape(batch.tgt_in_ids))
        stream = self._embed(
            self.tgt_embedding, batch.tgt_in_ids, draw, "tgt_embedding"
        )
        causal = attention.causal_mask(length)
        for index, layer in enumerate(self.decoder):
            memory = layer.source_attention.memory(encoded, num_rows)
            stream = layer(stream, memory, causal, mask, draw, f"decoder/{index}")
        return self.decoder_norm(stream) if self._pre else stream

    def _encode(
        self, src_ids: tf.Tensor, draw: noise.Noise
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the encoder's output, [B * S, D], and the mask of its padding."""
        num_rows = tf.shape(src_ids)[0]
        mask = attention.padding_mask(src_ids != vocabulary.PAD_ID)
        stream = self._embed(self.src_embedding, src_ids, draw, "src_embedding")
        for index, layer in enumerate(self.encoder):
            stream = layer(stream, num_rows, mask, draw, f"encoder/{index}")
        if self._pre:
            stream = self.encoder_norm(stream)
        return stream, mask

    def _embed(
        self, embedding: layers.Embedding, ids: tf.Tensor, draw: noise.Noise, place: str
    ) -> tf.Tensor:
        """Returns embeddings with positions added, [B * T, D], for int32 [B, T]."""
        num_rows, length = tf.unstack(tf.shape(ids))
        positions = layers.sinusoids(length, self._config.d_model)
        vectors = embedding(tf.reshape(ids, [-1]))
        stream = vectors + tf.tile(tf.cast(positions, vectors.dtype), [num_rows, 1])
        stream = tf.cast(stream, self._dtype)
        return draw.dropout(stream, self._config.dropout_rate, place)
