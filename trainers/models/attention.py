"""Scaled dot-product attention with several heads.

Vaswani et al. 2017, sections 3.2.1 and 3.2.2, https://arxiv.org/abs/1706.03762. The
weights of queries, keys and values are variables of their own; products that read the
same input are run as one.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainers import noise, precision
from trainers.models import layers

MASKED = -1e9  # a score that becomes the weight 0 and, unlike -inf, never NaN


class KeysValues(NamedTuple):
    """What is attended to: float [B, H, S, D/H] each."""

    keys: tf.Tensor
    values: tf.Tensor


class Attention(tf.Module):
    """Attention of some positions to others, or to themselves."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        rng: np.random.Generator,
        rotary: bool = False,
        dropout_rate: float = 0.0,
    ) -> None:
        """Makes the four projections, [D, D] each.

        Args:
            d_model: D.
            num_heads: H.
            rng: Draws the initial weights.
            rotary: Whether queries and keys are turned by their position.
            dropout_rate: Share of the weights dropped.
        """
        super().__init__()
        self._num_heads = num_heads
        self._rotary = rotary
        self._rate = dropout_rate
        self.query = layers.Dense(d_model, d_model, rng=rng)
        self.key = layers.Dense(d_model, d_model, rng=rng)
        self.value = layers.Dense(d_model, d_model, rng=rng)
        self.output = layers.Dense(d_model, d_model, rng=rng)

    def to_self(
        self,
        inputs: tf.Tensor,
        num_rows: tf.Tensor,
        mask: tf.Tensor,
        draw: noise.Noise = noise.NONE,
        place: str = "",
    ) -> tf.Tensor:
        """Returns what every position takes from the positions of its row.

        Args:
            inputs: float [B * T, D].
            num_rows: B, int32 [].
            mask: Added to the scores, float broadcastable to [B, H, T, T].
            draw: Of dropout.
            place: Of that noise.

        Returns:
            float [B * T, D].
        """
        query, key, value = _project(inputs, (self.query, self.key, self.value))
        memory = KeysValues(
            keys=self._turned(self._split(key, num_rows)),
            values=self._split(value, num_rows),
        )
        query = self._turned(self._split(query, num_rows))
        return self._attend(query, memory, mask, draw, place)

    def to_memory(
        self,
        inputs: tf.Tensor,
        memory: KeysValues,
        mask: tf.Tensor,
        draw: noise.Noise = noise.NONE,
        place: str = "",
        *,
        position: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns what every position takes from the memory of its row.

        Args:
            inputs: float [B * T, D].
            memory: Keys and values of B rows.
            mask: Added to the scores, float broadcastable to [B, H, T, S].
            draw: Of dropout.
            place: Of that noise.
            position: Where all T of a row are, as its hypotheses are while decoding,
                int32 []; None for 0, 1, ...
        """
        num_rows = tf.shape(memory.keys)[0]
        query = self._turned(self._split(self.query(inputs), num_rows), position)
        return self._attend(query, memory, mask, draw, place)

    def weights(
        self, inputs: tf.Tensor, memory: KeysValues, mask: tf.Tensor
    ) -> tf.Tensor:
        """Returns how much `to_memory` takes from where, float [B, H, T, S]."""
        num_rows = tf.shape(memory.keys)[0]
        query = self._turned(self._split(self.query(inputs), num_rows))
        return _weights(query, memory.keys, mask)

    def memory(
        self,
        inputs: tf.Tensor,
        num_rows: tf.Tensor,
        *,
        position: tf.Tensor | None = None,
    ) -> KeysValues:
        """Returns keys and values for float [B * S, D].

        Args:
            inputs: float [B * S, D].
            num_rows: B, int32 [].
            position: Where all S of a row are, int32 []; None for 0, 1, ...
        """
        key, value = _project(inputs, (self.key, self.value))
        return KeysValues(
            keys=self._turned(self._split(key, num_rows), position),
            values=self._split(value, num_rows),
        )

    def _turned(
        self, values: tf.Tensor, position: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns values turned by their positions if this is rotary attention."""
        if not self._rotary:
            return values
        if position is None:
            return rotated(values, tf.range(tf.shape(values)[2]))
        return rotated(values, position[None])

    def _split(self, values: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
        """Returns [B, H, T, D/H] for [B * T, D]."""
        size = values.shape[1] // self._num_heads
        shaped = tf.reshape(values, [num_rows, -1, self._num_heads, size])
        return tf.transpose(shaped, [0, 2, 1, 3])

    def _attend(
        self,
        query: tf.Tensor,
        memory: KeysValues,
        mask: tf.Tensor,
        draw: noise.Noise,
        place: str,
    ) -> tf.Tensor:
        weights = tf.cast(_weights(query, memory.keys, mask), query.dtype)
        weights = self._dropped(weights, draw, place)
        context = tf.transpose(tf.matmul(weights, memory.values), [0, 2, 1, 3])
        width = self._num_heads * query.shape[3]
        return self.output(tf.reshape(context, [-1, width]))

    def _dropped(self, weights: tf.Tensor, draw: noise.Noise, place: str) -> tf.Tensor:
        if not self._rate:
            return weights
        flat = tf.reshape(weights, [-1, tf.shape(weights)[-1]])
        dropped = draw.dropout(flat, self._rate, f"{place}/weights")
        return tf.reshape(dropped, tf.shape(weights))


def rotated(values: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Returns vectors turned by angles that grow with their position.

    Su et al. 2021, https://arxiv.org/abs/2104.09864, equation 34, with the pairs taken
    from the two halves of a vector: products of two then depend on how far apart their
    positions are, and on nothing else of them.

    Args:
        values: float [B, H, T, D/H].
        positions: int32 [T], or [1] where all are at one.
    """
    half = values.shape[3] // 2
    angles = tf.cast(positions, tf.float32)[:, None] * layers.rates(half)
    sines, cosines = (tf.cast(f(angles), values.dtype) for f in (tf.sin, tf.cos))
    one, other = values[..., :half], values[..., half:]
    return tf.concat(
        [one * cosines - other * sines, other * cosines + one * sines], axis=-1
    )


def padding_mask(is_token: tf.Tensor) -> tf.Tensor:
    """Returns a mask that hides padding, float32 [B, 1, 1, S], for bool [B, S]."""
    return tf.where(is_token, 0.0, MASKED)[:, None, None, :]


def causal_mask(length: tf.Tensor) -> tf.Tensor:
    """Returns a mask that hides later positions, float32 [1, 1, T, T]."""
    positions = tf.range(length)
    visible = positions[:, None] >= positions[None, :]
    return tf.where(visible, 0.0, MASKED)[None, None, :, :]


def _weights(query: tf.Tensor, keys: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns softmax(Q K' / sqrt(D/H)), equation 1, float [B, H, T, S]."""
    scale = 1 / math.sqrt(query.shape[3])
    scores = precision.precise(tf.matmul(query * scale, keys, transpose_b=True))
    return tf.nn.softmax(scores + tf.cast(mask, scores.dtype))


def _project(
    inputs: tf.Tensor, projections: tuple[layers.Dense, ...]
) -> list[tf.Tensor]:
    """Returns the outputs of several projections of one input, as one product."""
    kinds = inputs.dtype
    kernel = tf.concat([tf.cast(dense.kernel, kinds) for dense in projections], axis=1)
    bias = tf.concat([tf.cast(dense.bias, kinds) for dense in projections], axis=0)
    outputs = tf.nn.bias_add(tf.matmul(inputs, kernel), bias)
    parts: list[tf.Tensor] = tf.split(outputs, len(projections), axis=1)
    return parts
