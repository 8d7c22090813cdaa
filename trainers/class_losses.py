"""The loss of classes, hard or soft, in sums over the texts of a batch.

With the shares y of a text (one of them 1 where its label is hard), what it counts w,
and e of label smoothing over C classes, its loss is

    w . y  times  the sum over classes of -((1 - e) y + e / C) log p

so smoothing is that of `losses`, and a class's weight multiplies all of the loss of its
texts. The sum is divided by the number of texts, not by that of weights: with balanced
weights, whose mean over the training texts is 1, both are the same in expectation.
"""

import numpy as np
import tensorflow as tf

from trainers import losses


def of_logits(
    logits: tf.Tensor,
    shares: tf.Tensor,
    class_weights: np.ndarray,
    *,
    smoothing: tf.Tensor | float,
) -> losses.Losses:
    """Returns the losses of texts; `num_tokens` are texts.

    Args:
        logits: Unnormalised scores, float [B, C].
        shares: Of each class, float [B, C]; all 0 in a filler row, which has no loss.
        class_weights: What a text of each class counts, float [C].
        smoothing: Mass spread over the classes, in [0, 1).
    """
    log_p = tf.nn.log_softmax(tf.cast(logits, shares.dtype))
    real = tf.cast(tf.reduce_any(shares > 0, axis=1), shares.dtype)  # [B]
    counts = tf.linalg.matvec(shares, tf.constant(class_weights, shares.dtype))
    nll = -tf.reduce_sum(shares * log_p, axis=1)  # [B]
    uniform = -tf.reduce_mean(log_p, axis=1)
    smoothed = (1.0 - smoothing) * nll + smoothing * uniform
    is_right = tf.argmax(logits, 1) == tf.argmax(shares, 1)
    return losses.Losses(
        loss_sum=tf.reduce_sum(counts * smoothed),  # counts are 0 in filler rows
        nll_sum=tf.reduce_sum(nll),
        num_tokens=tf.reduce_sum(real),
        num_correct=tf.reduce_sum(tf.cast(is_right, shares.dtype) * real),
    )


def balanced_weights(counts: np.ndarray) -> np.ndarray:
    """Returns weights inverse to how frequent classes are, float64 [C].

    N / (C n_c), scikit-learn's `class_weight="balanced"` after King and Zeng 2001,
    doi:10.1093/oxfordjournals.pan.a004868; over the classes that occur, so that the
    mean over the texts is 1. A class without a text has the weight 1.

    >>> balanced_weights(np.array([3, 1, 0])).round(3).tolist()
    [0.667, 2.0, 1.0]

    Args:
        counts: How often an epoch has each class, [C].
    """
    occurring = counts > 0
    share = counts.sum() / (occurring.sum() * np.where(occurring, counts, 1))
    return np.where(occurring, share, 1.0)
