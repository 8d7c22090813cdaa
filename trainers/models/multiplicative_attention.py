"""Multiplicative attention after a recurrent decoder, for all positions at once.

Luong et al. 2015, https://arxiv.org/abs/1508.04025, section 3.1, global attention:

    general  e_tj = s_t W h_j
    scaled   e_tj = s_t h_j / sqrt(D), without weights

What it finds does not go back into the recurrence (no input feeding, section 3.3), so
the decoder runs over all positions first and then attends in one product.

B rows, S source length, T target length, D units.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainers import precision
from trainers.models import attention, layers


class Memory(NamedTuple):
    """What is attended to.

    Attributes:
        keys: W h, or h over the root of D, float [B, S, D].
        values: h, float [B, S, D].
        mask: Added to the scores, 0 or very low, float32 [B, S].
    """

    keys: tf.Tensor
    values: tf.Tensor
    mask: tf.Tensor


class MultiplicativeAttention(tf.Module):
    """Attention by products."""

    def __init__(self, score: str, units: int, *, rng: np.random.Generator) -> None:
        """Makes W where the score, general or scaled, has one."""
        super().__init__()
        self._units = units
        self._general = score == "general"
        if self._general:
            self.key = layers.weights(units, units, rng=rng)

    def memory(self, encoded: tf.Tensor, is_token: tf.Tensor) -> Memory:
        """Returns what is attended to, for float [B, S, D] and bool [B, S]."""
        mask = tf.where(is_token, 0.0, attention.MASKED)
        if not self._general:
            return Memory(encoded * (1 / math.sqrt(self._units)), encoded, mask)
        key = tf.cast(self.key, encoded.dtype)
        flat = tf.matmul(tf.reshape(encoded, [-1, self._units]), key)
        return Memory(tf.reshape(flat, tf.shape(encoded)), encoded, mask)

    def __call__(self, outputs: tf.Tensor, memory: Memory) -> tf.Tensor:
        """Returns contexts, [T * B, D], for outputs, [T * B, D]."""
        weights = tf.cast(self.weights(outputs, memory), outputs.dtype)
        contexts = tf.transpose(tf.matmul(weights, memory.values), [1, 0, 2])
        return tf.reshape(contexts, [-1, self._units])

    def weights(self, outputs: tf.Tensor, memory: Memory) -> tf.Tensor:
        """Returns how much is taken from where, [B, T, S], for [T * B, D]."""
        num_rows = tf.shape(memory.keys)[0]
        shaped = tf.reshape(outputs, [-1, num_rows, self._units])
        query = tf.transpose(shaped, [1, 0, 2])  # [B, T, D]
        scores = tf.matmul(query, memory.keys, transpose_b=True)  # [B, T, S]
        scores = precision.precise(scores)
        return tf.nn.softmax(scores + tf.cast(memory.mask, scores.dtype)[:, None])
