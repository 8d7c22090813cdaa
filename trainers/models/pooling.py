"""From a vector for each position to one for the text; padding is never looked at.

B rows, S positions, D units.
"""

from typing import Protocol

import numpy as np
import tensorflow as tf

from trainers import precision
from trainers.models import attention, layers


class Pooling(Protocol):
    """A way from positions to a vector."""

    def __call__(self, states: tf.Tensor, is_token: tf.Tensor) -> tf.Tensor:
        """Returns float [B, D], of 32 bits at least.

        Args:
            states: float [B, S, D].
            is_token: Which positions are no padding, bool [B, S].
        """


def mean(states: tf.Tensor, is_token: tf.Tensor) -> tf.Tensor:
    """Returns the mean over tokens; see `Pooling`."""
    states = precision.precise(states)
    weights = tf.cast(is_token, states.dtype)[:, :, None]
    total = tf.reduce_sum(states * weights, axis=1)
    return total / tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)


def maximum(states: tf.Tensor, is_token: tf.Tensor) -> tf.Tensor:
    """Returns each unit's maximum over tokens; see `Pooling`."""
    states = precision.precise(states)
    lowest = tf.constant(states.dtype.min, states.dtype)
    return tf.reduce_max(tf.where(is_token[:, :, None], states, lowest), axis=1)


def first(states: tf.Tensor, is_token: tf.Tensor) -> tf.Tensor:
    """Returns the first position; see `Pooling`."""
    del is_token
    return precision.precise(states[:, 0])


class WeightedMean(tf.Module):
    """A mean with learned weights: softmax(c . tanh(W h + b)) over the tokens.

    Yang et al. 2016, eq. 5 to 7, https://aclanthology.org/N16-1174.
    """

    def __init__(self, size: int, *, rng: np.random.Generator) -> None:
        """Makes the projection, [D, D], and the context vector, [D, 1]."""
        super().__init__()
        self.projection = layers.Dense(size, size, rng=rng)
        limit = (6 / (size + 1)) ** 0.5
        context = rng.uniform(-limit, limit, (size, 1))
        self.context = tf.Variable(context, dtype=tf.float32)

    def __call__(self, states: tf.Tensor, is_token: tf.Tensor) -> tf.Tensor:
        """Returns the weighted mean over tokens; see `Pooling`."""
        flat = tf.reshape(states, [-1, states.shape[2]])
        hidden = precision.precise(tf.tanh(self.projection(flat)))
        context = tf.cast(self.context, hidden.dtype)
        scores = tf.reshape(tf.matmul(hidden, context), tf.shape(is_token))
        hidden_ones = tf.constant(attention.MASKED, scores.dtype)
        weights = tf.nn.softmax(tf.where(is_token, scores, hidden_ones))  # [B, S]
        return tf.einsum("bs,bsd->bd", weights, precision.precise(states))
