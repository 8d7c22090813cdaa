"""The loss: label-smoothed cross-entropy in sums over real tokens.

The target distribution is (1 - e) * one_hot + e / V over all V subwords: Szegedy et al.
2016, section 7, https://arxiv.org/abs/1512.00567. Other toolkits spread the mass over
V - 1 or V - 2 subwords; losses are not comparable with theirs.

Sums and count stay apart until the one division by the global count, so that replicas
and accumulated micro-batches add up to the gradient of the whole batch.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from pipeline import vocabulary
from trainers import precision

_MASKED = -1e9  # the logit of a row that is no subword; its exponential is 0


class Outputs(NamedTuple):
    """What a model says of the N real target tokens of a batch: `hidden @ vectors.T`.

    Attributes:
        hidden: float [N, D], one row a real token; what is summed is of 32 bits at
            least, and the products are in the type of `hidden`.
        vectors: Output embedding, float [V or more, D]; rows from V on are no subwords.
        targets: int32 [N].
        num_subwords: V.
    """

    hidden: tf.Tensor
    vectors: tf.Tensor
    targets: tf.Tensor
    num_subwords: int


class Losses(NamedTuple):
    """Sums over the real target tokens of a batch, float [] each.

    Attributes:
        loss_sum: What is minimised: smoothed cross-entropy, in nats.
        nll_sum: Negative log-likelihood of the targets, in nats.
        num_tokens: Tokens counted.
        num_correct: Tokens whose target scored highest.
    """

    loss_sum: tf.Tensor
    nll_sum: tf.Tensor
    num_tokens: tf.Tensor
    num_correct: tf.Tensor


def of_hidden(outputs: Outputs, *, smoothing: tf.Tensor | float) -> Losses:
    """Returns the losses of real tokens.

    The logits, by far the largest array of a step, are made once and read twice. With
    z their log-sum-exp, the smoothed cross-entropy of target t is

        z - (1 - e) h.w[t] - e h.mean(w)

    in which only z needs them, and its gradient with respect to them is their softmax:
    `exp(logits - max)` serves both, unnormalised, and the two products of the backward
    pass carry the normaliser on their small side.

    Args:
        outputs: Of the model.
        smoothing: Mass spread over the vocabulary, in [0, 1).
    """
    return of_normalisers(outputs, *_log_normaliser(outputs), smoothing=smoothing)


def of_normalisers(
    outputs: Outputs,
    log_z: tf.Tensor,
    correct: tf.Tensor,
    *,
    smoothing: tf.Tensor | float,
) -> Losses:
    """Returns the losses of real tokens for what was found from their logits.

    Args:
        outputs: Of the model.
        log_z: Log-sum-exp of the logits, float [N].
        correct: 1 where the target scored highest, float32 [N].
        smoothing: Mass spread over the vocabulary, in [0, 1).
    """
    wide = precision.precise(outputs.hidden)
    rows = tf.cast(tf.gather(outputs.vectors, outputs.targets), wide.dtype)  # [N, D]
    target_logits = tf.reduce_sum(wide * rows, -1)  # [N]
    mean = tf.reduce_mean(outputs.vectors[: outputs.num_subwords], 0)
    mean_logits = tf.linalg.matvec(wide, tf.cast(mean, wide.dtype))
    nll = log_z - target_logits
    if tf.is_tensor(smoothing):
        smoothing = tf.cast(smoothing, nll.dtype)
    loss = nll + smoothing * (target_logits - mean_logits)
    return Losses(
        loss_sum=tf.reduce_sum(loss),
        nll_sum=tf.reduce_sum(nll),
        num_tokens=tf.cast(tf.size(outputs.targets), nll.dtype),
        num_correct=tf.reduce_sum(correct),
    )


def logits_of(hidden: tf.Tensor, vectors: tf.Tensor, num_subwords: int) -> tf.Tensor:
    """Returns `hidden @ vectors.T`, float [N, V or more], of 32 bits at least.

    Args:
        hidden: float [N, D].
        vectors: Output embedding in the same type, [V or more, D].
        num_subwords: V; the logits of the other rows are as good as minus infinity.
    """
    products = tf.matmul(hidden, vectors, transpose_b=True)
    logits = precision.precise(products)
    num_fillers = vectors.shape[0] - num_subwords
    if not num_fillers:  # or another pass over the largest array
        return logits
    lowest = [0.0] * num_subwords + [_MASKED] * num_fillers
    return tf.nn.bias_add(logits, tf.constant(lowest, logits.dtype))


def is_correct(
    logits: tf.Tensor, targets: tf.Tensor, best: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns which targets are best, float32 [N]: 1 where no logit is larger.

    Both are of one product: in 16 bits its rounding is larger than what parts the best
    two.

    Args:
        logits: float [N, V].
        targets: int32 [N].
        best: The largest of each row, float [N], where it is known.
    """
    if best is None:
        best = tf.reduce_max(logits, -1)
    return tf.cast(tf.gather(logits, targets, batch_dims=1) >= best, tf.float32)


def _log_normaliser(outputs: Outputs) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the log-sum-exp of the logits, and which targets are best; float [N]."""

    @tf.custom_gradient
    def compute(hidden: tf.Tensor, vectors: tf.Tensor) -> Any:
        logits = logits_of(hidden, vectors, outputs.num_subwords)  # [N, V]
        best = tf.reduce_max(logits, -1)
        correct = is_correct(logits, outputs.targets, best)
        exponentials = tf.exp(logits - best[:, None])  # [N, V]
        total = tf.reduce_sum(exponentials, -1)
        unnormalised = tf.cast(exponentials, hidden.dtype)

        def gradient(
            upstream: tf.Tensor, of_correct: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            del of_correct  # only counted, never differentiated
            weight = tf.cast((upstream / total)[:, None], hidden.dtype)
            return (
                tf.matmul(unnormalised, vectors) * weight,
                tf.matmul(unnormalised, hidden * weight, transpose_a=True),
            )

        return (best + tf.math.log(total), tf.stop_gradient(correct)), gradient

    narrow = tf.cast(outputs.vectors, outputs.hidden.dtype)
    found: tuple[tf.Tensor, tf.Tensor] = compute(outputs.hidden, narrow)
    return found


def of_logits(
    logits: tf.Tensor, tgt_out_ids: tf.Tensor, *, smoothing: tf.Tensor | float
) -> Losses:
    """Returns the losses for logits that a model made itself.

    Args:
        logits: Unnormalised scores, float [B, T, V].
        tgt_out_ids: int32 [B, T]; PAD_ID carries no loss.
        smoothing: Mass spread over the vocabulary, in [0, 1).
    """
    logits = tf.cast(logits, tf.float32)
    log_z = tf.reduce_logsumexp(logits, axis=-1)  # [B, T]
    target_logits = tf.gather(logits, tgt_out_ids, batch_dims=2)
    weights = tf.cast(tgt_out_ids != vocabulary.PAD_ID, tf.float32)
    nll = log_z - target_logits
    loss = nll + smoothing * (target_logits - tf.reduce_mean(logits, axis=-1))
    correct = tf.cast(target_logits >= tf.reduce_max(logits, -1), tf.float32)
    return Losses(
        loss_sum=tf.reduce_sum(loss * weights),
        nll_sum=tf.reduce_sum(nll * weights),
        num_tokens=tf.reduce_sum(weights),
        num_correct=tf.reduce_sum(correct * weights),
    )
