"""Vectors of texts such that those of a pair are near each other.

B rows, S and T positions, D d_model.
"""

import numpy as np
import tensorflow as tf

from pipeline import batching, vocabulary
from trainers import contrastive_losses, losses, noise
from trainers.models import seq2vec, seq2vec_config


class TextPairs(tf.Module):
    """An encoder of sources and one of targets, or one of both."""

    def __init__(
        self,
        config: seq2vec_config.EncoderConfig,
        head: seq2vec_config.HeadConfig,
        *,
        src_vocab_size: int,
        tgt_vocab_size: int,
        shared: bool,
        rng: np.random.Generator,
        dtype: str = "float32",
    ) -> None:
        """Makes the model.

        Args:
            config: Sizes of an encoder.
            head: Pooling and temperature.
            src_vocab_size: Number of source subwords.
            tgt_vocab_size: Number of target subwords.
            shared: Whether both sides have one vocabulary, and here one encoder.
            rng: Draws the initial weights.
            dtype: What the encoders compute in; weights are float32.
        """
        super().__init__()
        self._temperature = head.temperature
        pool = head.pooling
        self.src = seq2vec.TextVector(
            config, pool, src_vocab_size, rng=rng, dtype=dtype
        )
        self.tgt = self.src
        if not shared:
            self.tgt = seq2vec.TextVector(
                config, pool, tgt_vocab_size, rng=rng, dtype=dtype
            )

    def src_vectors(
        self, src_ids: tf.Tensor, draw: noise.Noise = noise.NONE
    ) -> tf.Tensor:
        """Returns vectors of length 1, float32 [B, D], for int32 [B, S]."""
        return tf.math.l2_normalize(self.src(src_ids, draw), axis=1)

    def tgt_vectors(
        self, tgt_ids: tf.Tensor, draw: noise.Noise = noise.NONE
    ) -> tf.Tensor:
        """Returns vectors of length 1, float32 [B, D], for int32 [B, T]."""
        return tf.math.l2_normalize(self.tgt(tgt_ids, draw.apart("tgt")), axis=1)

    def losses_of(
        self,
        src: tf.Tensor,
        tgt: tf.Tensor,
        batch: batching.TextsBatch,
        smoothing: tf.Tensor | float,
    ) -> losses.Losses:
        """Returns the loss for the vectors of a batch, float32 [B, D] each."""
        return contrastive_losses.of_vectors(
            src,
            tgt,
            batch.tgt_ids[:, 0] != vocabulary.PAD_ID,
            is_same_src=_is_same(batch.src_ids),
            is_same_tgt=_is_same(batch.tgt_ids),
            temperature=self._temperature,
            smoothing=smoothing,
        )

    def losses(
        self, batch: batching.TextsBatch, *, smoothing: tf.Tensor, draw: noise.Noise
    ) -> losses.Losses:
        """Returns the loss over the real pairs of a batch, in sums."""
        return self.losses_of(
            self.src_vectors(batch.src_ids, draw),
            self.tgt_vectors(batch.tgt_ids, draw),
            batch,
            smoothing,
        )


def _is_same(ids: tf.Tensor) -> tf.Tensor:
    """Returns which texts are equal, bool [B, B], for int32 [B, S]."""
    return tf.reduce_all(ids[:, None] == ids[None], axis=2)
