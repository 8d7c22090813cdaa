"""The loss of vectors of pairs: which of the batch's targets is that of a source?

With s_i and t_j of length 1 and a temperature h, the loss of pair i is

    -1/2 log softmax_j(s_i . t_j / h)[i]  -1/2 log softmax_j(s_j . t_i / h)[i]

The other targets of the batch are the wrong answers: Henderson et al. 2017, section
4.4, https://arxiv.org/abs/1705.00652. Both directions, and vectors of length 1: Yang et
al. 2019, section 3, https://arxiv.org/abs/1902.08564, without their margin. The
temperature: Gao et al. 2021, eq. 1, https://arxiv.org/abs/2104.08821. A text equal to
the right answer is no wrong one: the sum over j leaves it out.
"""

import tensorflow as tf

from trainers import losses

_MASKED = -1e9  # the score of a filler row; its exponential is 0


def of_vectors(
    src: tf.Tensor,
    tgt: tf.Tensor,
    is_real: tf.Tensor,
    *,
    is_same_src: tf.Tensor,
    is_same_tgt: tf.Tensor,
    temperature: float,
    smoothing: tf.Tensor | float,
) -> losses.Losses:
    """Returns the losses of pairs; `num_tokens` are pairs.

    Args:
        src: Of length 1, float [B, D].
        tgt: Of length 1, float [B, D].
        is_real: Which rows are no fillers, bool [B]; only they can be answers.
        is_same_src: Which rows have the same source, bool [B, B].
        is_same_tgt: Which rows have the same target, bool [B, B].
        temperature: What cosines are divided by.
        smoothing: Mass spread over the answers that a row has, in [0, 1).

    Returns:
        Sums; a pair is right if its target is the nearest to its source.
    """
    real = tf.cast(is_real, src.dtype)  # [B]
    num_real = tf.reduce_sum(real)
    scores = tf.matmul(src, tgt, transpose_b=True) / temperature  # [B, B]
    own = tf.eye(tf.shape(src)[0], dtype=tf.bool)
    is_src = is_real & (own | ~is_same_src)  # [B, B]: the answers that a row has
    is_tgt = is_real & (own | ~is_same_tgt)
    to_tgt = tf.where(is_tgt, scores, _MASKED)
    to_src = tf.where(is_src, tf.transpose(scores), _MASKED)
    nll = spread = tf.constant(0.0, src.dtype)
    for logits, is_answer in ((to_tgt, is_tgt), (to_src, is_src)):
        log_p = tf.nn.log_softmax(logits)
        of_row = tf.where(is_real, -tf.linalg.diag_part(log_p), 0.0)
        of_all = -_mean_where(is_answer, log_p)
        nll += tf.reduce_sum(of_row) / 2.0
        spread += tf.reduce_sum(of_all * real) / 2.0
    is_right = tf.argmax(to_tgt, axis=1) == tf.range(tf.size(real, tf.int64))
    return losses.Losses(
        loss_sum=(1.0 - smoothing) * nll + smoothing * spread,
        nll_sum=nll,
        num_tokens=num_real,
        num_correct=tf.reduce_sum(tf.cast(is_right, src.dtype) * real),
    )


def _mean_where(is_one: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns the means of each row's values where asked, float [B]; 0 for none."""
    ones = tf.cast(is_one, values.dtype)
    return tf.math.divide_no_nan(
        tf.reduce_sum(tf.where(is_one, values, 0.0), axis=1),
        tf.reduce_sum(ones, axis=1),
    )
