"""Encoders of a text: subword ids to a vector for each position.

B rows, S positions, D d_model.
"""

from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from pipeline import vocabulary
from trainers import noise
from trainers.models import (
    attention,
    layers,
    recurrent_encoder,
    seq2vec_config,
    transformer_layers,
)


class Encoded(NamedTuple):
    """What an encoder says of some texts.

    Attributes:
        states: Of each position, float [B, S, D].
        last: Where it has read all of the text, float [B, D].
    """

    states: tf.Tensor
    last: tf.Tensor


class Encoder(Protocol):
    """What reads a text."""

    def __call__(self, ids: tf.Tensor, draw: noise.Noise) -> Encoded:
        """Returns what it says of int32 [B, S], right-padded."""


class TransformerEncoder(tf.Module):
    """Self-attention; the last state is that of the last token.

    Its weights are named as those of a translation model's encoder are, so that one can
    begin from the other.
    """

    def __init__(
        self,
        config: seq2vec_config.EncoderConfig,
        vocab_size: int,
        *,
        rng: np.random.Generator,
        dtype: str,
    ) -> None:
        """Makes embedding and layers; they compute in `dtype`."""
        super().__init__()
        self._config, self._dtype = config, tf.as_dtype(dtype)
        self.src_embedding = layers.Embedding(vocab_size, config.d_model, rng=rng)
        self.encoder = [
            transformer_layers.EncoderLayer(config.layers, rng=rng)
            for _ in range(config.transformer.encoder_layers or config.num_layers)
        ]
        self._is_learned = config.transformer.positions == "learned"
        if self._is_learned:
            count = config.transformer.max_positions
            self.src_positions = layers.Positions(count, config.d_model, rng=rng)
        self._pre = config.transformer.norm == "pre"
        if self._pre:
            self.encoder_norm = layers.LayerNorm(config.d_model)

    def __call__(self, ids: tf.Tensor, draw: noise.Noise) -> Encoded:
        """Returns what it says of int32 [B, S]."""
        num_rows, length = tf.unstack(tf.shape(ids))
        is_token = ids != vocabulary.PAD_ID
        mask = attention.padding_mask(is_token)
        stream = transformer_layers.embed(
            self.src_embedding,
            ids,
            self._config.dropout_rate,
            draw,
            "embedding",
            positions=self.src_positions if self._is_learned else None,
            is_rotary=self._config.transformer.is_rotary,
            dtype=self._dtype,
        )
        for index, layer in enumerate(self.encoder):
            stream = layer(stream, num_rows, mask, draw, f"encoder/{index}")
        if self._pre:
            stream = self.encoder_norm(stream)
        states = tf.reshape(stream, [num_rows, length, self._config.d_model])
        end = tf.math.count_nonzero(is_token, axis=1, dtype=tf.int32) - 1
        last = tf.gather(states, tf.maximum(end, 0), batch_dims=1)
        return Encoded(states, last)


class RecurrentEncoder(tf.Module):
    """Layers in both directions; the last state is where each has read everything.

    Graves and Schmidhuber 2005, doi:10.1016/j.neunet.2005.06.042.
    """

    def __init__(
        self,
        config: seq2vec_config.EncoderConfig,
        vocab_size: int,
        *,
        rng: np.random.Generator,
        dtype: str,
    ) -> None:
        """Makes embedding and layers; they compute in `dtype`."""
        super().__init__()
        self._config, self._dtype = config, tf.as_dtype(dtype)
        self.src_embedding = layers.Embedding(vocab_size, config.d_model, rng=rng)
        self.encoder = recurrent_encoder.Encoder(config.layers, rng=rng)

    def __call__(self, ids: tf.Tensor, draw: noise.Noise) -> Encoded:
        """Returns what it says of int32 [B, S]."""
        num_rows, length = tf.unstack(tf.shape(ids))
        draw = draw.positions_first(num_rows)
        stream = recurrent_encoder.embed(self.src_embedding, ids, self._dtype)
        stream = draw.dropout(stream, self._config.dropout_rate, "embedding")
        encoded = self.encoder(stream, recurrent_encoder.lengths(ids), draw)
        size = self._config.d_model
        by_position = tf.reshape(encoded.outputs, [length, num_rows, size])
        states = tf.transpose(by_position, [1, 0, 2])
        return Encoded(states, encoded.lasts[-1][0])


def make(
    config: seq2vec_config.EncoderConfig,
    vocab_size: int,
    *,
    rng: np.random.Generator,
    dtype: str,
) -> tf.Module:
    """Returns the encoder that a config names; its weights are float32."""
    kind = TransformerEncoder if config.model == "transformer" else RecurrentEncoder
    return kind(config, vocab_size, rng=rng, dtype=dtype)
