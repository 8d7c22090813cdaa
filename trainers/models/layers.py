"""The layers models are made of.

They work on [N, D], all positions of all rows in one matrix: a product of [B, T, D]
with [D, F] is run by TensorFlow as B small ones, and its weight gradient as B outer
products that are then summed, which on a CPU made a whole step 1.6 times slower.

Layers are `tf.Module`s that make their variables when they are made, so a variable's
name is its attribute path and does not depend on what was called first.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from trainers import precision

NORM_EPSILON = 1e-6
ROWS_MULTIPLE = 8


def weights(inputs: int, outputs: int, *, rng: np.random.Generator) -> tf.Variable:
    """Returns float32 [I, O], drawn uniformly: Glorot and Bengio 2010, eq. 16."""
    limit = math.sqrt(6 / (inputs + outputs))
    return tf.Variable(rng.uniform(-limit, limit, (inputs, outputs)), dtype=tf.float32)


class Dense(tf.Module):
    """x W + b."""

    def __init__(self, inputs: int, outputs: int, *, rng: np.random.Generator) -> None:
        """Draws the kernel; the bias is 0."""
        super().__init__()
        self.kernel = weights(inputs, outputs, rng=rng)
        self.bias = tf.Variable(tf.zeros(outputs))

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Returns float [N, outputs] for float [N, inputs]."""
        kernel, bias = (tf.cast(v, values.dtype) for v in (self.kernel, self.bias))
        return tf.nn.bias_add(tf.matmul(values, kernel), bias)


class LayerNorm(tf.Module):
    """Ba et al. 2016, https://arxiv.org/abs/1607.06450, eq. 4."""

    def __init__(self, size: int) -> None:
        """Begins as plain normalisation."""
        super().__init__()
        self.scale = tf.Variable(tf.ones(size))
        self.offset = tf.Variable(tf.zeros(size))

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Returns float [N, D], each row with mean 0 and variance 1 before scaling."""
        wide = precision.precise(values)
        scale, offset = (tf.cast(v, wide.dtype) for v in (self.scale, self.offset))
        return tf.cast(_layer_norm(wide, scale, offset), values.dtype)


@tf.custom_gradient
def _layer_norm(values: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> Any:
    """Layer normalisation, its gradient in closed form: half the passes of autodiff."""
    centred = values - tf.reduce_mean(values, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
    inverse = tf.math.rsqrt(variance + NORM_EPSILON)
    normal = centred * inverse

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        scaled = upstream * scale
        mean = tf.reduce_mean(scaled, -1, keepdims=True)
        along = tf.reduce_mean(scaled * normal, -1, keepdims=True)
        return (
            (scaled - mean - normal * along) * inverse,
            tf.reduce_sum(upstream * normal, 0),
            tf.reduce_sum(upstream, 0),
        )

    return normal * scale + offset, gradient


class Embedding(tf.Module):
    """A vector for each subword, and, turned round, scores of all subwords.

    Products are fastest where sizes are multiples of 8 (of tensor cores: NVIDIA,
    Matrix Multiplication Background, section 3), so rows that belong to no subword are
    added. They stay zero: no id reads them, and losses and decoders leave them out.

    Attributes:
        size: Number of subwords, V.
        vectors: float32 [V rounded up, D].
    """

    def __init__(self, size: int, d_model: int, *, rng: np.random.Generator) -> None:
        """Draws vectors of expected length 1."""
        super().__init__()
        self.size = size
        vectors = np.zeros((-(-size // ROWS_MULTIPLE) * ROWS_MULTIPLE, d_model))
        vectors[:size] = rng.normal(0.0, d_model**-0.5, (size, d_model))
        self.vectors = tf.Variable(vectors, dtype=tf.float32)

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns float [N, D], scaled by sqrt(D), for int32 [N].

        Vaswani et al. 2017, section 3.4: so that they are as large as the positions.
        """
        return tf.gather(self.vectors, ids) * math.sqrt(self.vectors.shape[1])

    def logits(self, hidden: tf.Tensor) -> tf.Tensor:
        """Returns scores of all subwords, float [N, V], for float [N, D]."""
        vectors = tf.cast(self.vectors, hidden.dtype)
        return precision.precise(
            tf.matmul(hidden, vectors, transpose_b=True)[:, : self.size]
        )


class Positions(tf.Module):
    """A learned vector for each position: Gehring et al. 2017, section 3.1.

    https://arxiv.org/abs/1705.03122. Positions after the last share its vector.
    """

    def __init__(self, count: int, d_model: int, *, rng: np.random.Generator) -> None:
        """Draws small vectors: embeddings are scaled to a length of sqrt(D)."""
        super().__init__()
        vectors = rng.normal(0.0, d_model**-0.5, (count, d_model))
        self.vectors = tf.Variable(vectors, dtype=tf.float32)

    def __call__(self, first: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Returns the vectors of positions from `first` on, float [count, D]."""
        last = self.vectors.shape[0] - 1
        return tf.gather(self.vectors, tf.minimum(tf.range(first, first + count), last))


def sinusoids(length: tf.Tensor, d_model: int) -> tf.Tensor:
    """Returns position vectors, float32 [length, D]: sines, then cosines.

    Vaswani et al. 2017, section 3.5, with the two halves side by side instead of
    interleaved: a permutation of units, which nothing in the model can tell.
    """
    angles = tf.range(length, dtype=tf.float32)[:, None] * rates(d_model // 2)
    return tf.concat([tf.sin(angles), tf.cos(angles)], axis=1)


def rates(count: int) -> tf.Tensor:
    """Returns by how much angles grow from a position to the next, float32 [count]."""
    return tf.exp(-math.log(10_000.0) / count * tf.range(count, dtype=tf.float32))
