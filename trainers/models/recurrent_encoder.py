"""A stack of recurrent layers over the source.

S source length, B rows, D d_model, E width of embeddings. Matrices have positions
first: [S * B, D], see `recurrent.py`.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline import vocabulary
from trainers import noise
from trainers.models import cells, layers, recurrent
from trainers.models import config as model_config


class Encoded(NamedTuple):
    """What an encoder says of a batch.

    Attributes:
        outputs: Of its last layer, float [S * B, D].
        lasts: The states of each layer after the last token of each row, [B, D] each.
    """

    outputs: tf.Tensor
    lasts: tuple[cells.State, ...]


class Encoder(tf.Module):
    """Layers in one or both directions, each over the one before."""

    def __init__(
        self, config: model_config.ModelConfig, *, rng: np.random.Generator
    ) -> None:
        """Makes the layers."""
        super().__init__()
        self._residual = config.rnn.residual
        self._rate = config.dropout_rate
        kind = (
            recurrent.Bidirectional
            if config.rnn.bidirectional
            else recurrent.Unidirectional
        )
        self.layers = [
            kind(config.rnn.cell, width, config.d_model, rng=rng)
            for width in input_widths(config)
        ]

    def __call__(
        self, stream: tf.Tensor, lengths: tf.Tensor, draw: noise.Noise
    ) -> Encoded:
        """Returns what the layers say of a source.

        Args:
            stream: Embedded, float [S * B, E].
            lengths: Tokens of each row, at least 1, int32 [B].
            draw: Drops outputs.
        """
        lasts = []
        for index, layer in enumerate(self.layers):
            outputs, last = layer(stream, lengths)
            outputs = draw.dropout(outputs, self._rate, f"encoder/{index}")
            stream = outputs + stream if self._residual and index else outputs
            lasts.append(last)
        return Encoded(stream, tuple(lasts))


def input_widths(config: model_config.ModelConfig) -> list[int]:
    """Returns how many units each layer reads: the embedding, then d_model."""
    return [embedding_width(config), *[config.d_model] * (config.num_layers - 1)]


def embedding_width(config: model_config.ModelConfig) -> int:
    """Returns E."""
    return config.rnn.embedding_dim or config.d_model


def embed(embedding: layers.Embedding, ids: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Returns embeddings, positions first, [T * B, E], for int32 [B, T]."""
    return tf.cast(embedding(tf.reshape(tf.transpose(ids), [-1])), dtype)


def lengths(src_ids: tf.Tensor) -> tf.Tensor:
    """Returns how many tokens each row has, int32 [B], for int32 [B, S]; at least 1."""
    is_token = src_ids != vocabulary.PAD_ID
    return tf.maximum(tf.math.count_nonzero(is_token, axis=1, dtype=tf.int32), 1)
