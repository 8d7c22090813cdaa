"""Text to vector, and vector to class.

B rows, S positions, D d_model, C classes.
"""

import numpy as np
import tensorflow as tf

from pipeline import batching, vocabulary
from trainers import class_losses, losses, noise, precision
from trainers.models import encoders, layers, pooling, seq2vec_config

_POOLINGS: dict[str, pooling.Pooling] = {
    "mean": pooling.mean,
    "max": pooling.maximum,
    "cls": pooling.first,
}
_NOISE_COLUMNS = 8  # the fewest that noise comes in


class TextVector(tf.Module):
    """An encoder and the pooling of its positions."""

    def __init__(
        self,
        config: seq2vec_config.EncoderConfig,
        kind: str,
        vocab_size: int,
        *,
        rng: np.random.Generator,
        dtype: str,
    ) -> None:
        """Makes the model.

        Args:
            config: Sizes of the encoder.
            kind: Of the pooling.
            vocab_size: Number of subwords.
            rng: Draws the initial weights.
            dtype: What the encoder computes in; weights are float32.
        """
        super().__init__()
        self._config, self._kind = config, kind
        self.encoder = encoders.make(config, vocab_size, rng=rng, dtype=dtype)
        if kind == "attention":
            self.pooling = pooling.WeightedMean(config.d_model, rng=rng)

    def __call__(self, ids: tf.Tensor, draw: noise.Noise) -> tf.Tensor:
        """Returns a vector for each text, float32 [B, D], for int32 [B, S]."""
        ids = drop_words(ids, self._config.word_dropout, draw)
        if self._kind == "cls":
            begin = tf.fill([tf.shape(ids)[0], 1], vocabulary.BOS_ID)
            ids = tf.concat([begin, ids], axis=1)
        encoded = self.encoder(ids, draw)
        if self._kind == "last":
            return precision.precise(encoded.last)
        pool = self.pooling if self._kind == "attention" else _POOLINGS[self._kind]
        return pool(encoded.states, ids != vocabulary.PAD_ID)


def drop_words(ids: tf.Tensor, rate: float, draw: noise.Noise) -> tf.Tensor:
    """Returns ids, int32 [B, S], with a share of the subwords unknown.

    Iyyer et al. 2015, section 3.1, https://aclanthology.org/P15-1162, leave words out;
    as unknown ones they keep the lengths of the plan.
    """
    if not rate:
        return ids
    ones = tf.ones([tf.size(ids), _NOISE_COLUMNS])
    kept = tf.reshape(draw.dropout(ones, rate, "words")[:, 0] > 0, tf.shape(ids))
    is_word = ids > vocabulary.UNK_ID
    return tf.where(is_word & ~kept, vocabulary.UNK_ID, ids)


class Classifier(tf.Module):
    """A text's vector, a dense ReLU layer if asked for, and scores of classes."""

    def __init__(
        self,
        config: seq2vec_config.EncoderConfig,
        head: seq2vec_config.HeadConfig,
        *,
        vocab_size: int,
        num_classes: int,
        class_weights: np.ndarray | None = None,
        rng: np.random.Generator,
        dtype: str = "float32",
    ) -> None:
        """Makes the model.

        Args:
            config: Sizes of the encoder.
            head: Pooling and what follows it.
            vocab_size: Number of subwords.
            num_classes: C.
            class_weights: What an example of each class counts in the loss, [C]; the
                same if None.
            rng: Draws the initial weights.
            dtype: What the encoder computes in; weights are float32.
        """
        super().__init__()
        self._rate = head.head_dropout_rate
        self._class_weights = (
            np.ones(num_classes) if class_weights is None else class_weights
        )
        self.text = TextVector(config, head.pooling, vocab_size, rng=rng, dtype=dtype)
        width = head.head_units or config.d_model
        self._hidden_layers = bool(head.head_units)
        if self._hidden_layers:
            self.hidden = layers.Dense(config.d_model, width, rng=rng)
        self.output = layers.Dense(width, num_classes, rng=rng)

    def vectors(self, src_ids: tf.Tensor) -> tf.Tensor:
        """Returns what the head reads, float32 [B, D], for int32 [B, S]."""
        return self.text(src_ids, noise.NONE)

    def logits(self, src_ids: tf.Tensor, draw: noise.Noise = noise.NONE) -> tf.Tensor:
        """Returns scores of the classes, float32 [B, C], for int32 [B, S]."""
        return self.scores(self.text(src_ids, draw), draw)

    def scores(self, vectors: tf.Tensor, draw: noise.Noise = noise.NONE) -> tf.Tensor:
        """Returns scores of the classes, float32 [B, C], for float32 [B, D]."""
        values = draw.dropout(vectors, self._rate, "head/input")
        if self._hidden_layers:
            values = tf.nn.relu(self.hidden(values))
            values = draw.dropout(values, self._rate, "head/hidden")
        return self.output(values)

    def losses(
        self, batch: batching.LabelBatch, *, smoothing: tf.Tensor, draw: noise.Noise
    ) -> losses.Losses:
        """Returns the loss over the real texts of a batch, in sums."""
        return class_losses.of_logits(
            self.logits(batch.src_ids, draw),
            batch.shares,
            self._class_weights,
            smoothing=smoothing,
        )
