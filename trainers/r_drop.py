"""R-Drop: what a model says with one dropout and with another is drawn together.

Liang et al. 2021, https://arxiv.org/abs/2106.14448, section 2. A batch is run twice, so
a step has twice the work and memory. With P and Q what the two passes say, the loss of
a token is

    (loss(P) + loss(Q)) / 2  +  a / 4  (KL(P || Q) + KL(Q || P))

which is half of the paper's equations 2 to 4, so that learning rates and losses stay
those of one pass, and `a` is the paper's alpha.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pipeline import batching
from trainers import losses, noise

_AGAIN = "r_drop"  # the noise of the second pass


def losses_of(
    model: Callable[[batching.Batch, noise.Noise], losses.Outputs],
    batch: batching.Batch,
    *,
    weight: float,
    smoothing: tf.Tensor,
    draw: noise.Noise,
) -> losses.Losses:
    """Returns the losses of a batch, of two passes where they are asked for.

    Args:
        model: Called with the batch and its noise; without noise it is called once.
        batch: To run.
        weight: `a` above; 0 for one pass.
        smoothing: Mass spread over the vocabulary, in [0, 1).
        draw: The step's noise.
    """
    one = model(batch, draw)
    if not weight or draw is noise.NONE:
        return losses.of_hidden(one, smoothing=smoothing)
    other = model(batch, draw.apart(_AGAIN))
    return of_two(one, other, weight=weight, smoothing=smoothing)


def of_two(
    one: losses.Outputs,
    other: losses.Outputs,
    *,
    weight: float,
    smoothing: tf.Tensor | float,
) -> losses.Losses:
    """Returns the losses of real tokens that were run twice, each counted once.

    Args:
        one: Of the first pass.
        other: Of the second pass: other hidden states of the same targets.
        weight: `a` above.
        smoothing: Mass spread over the vocabulary, in [0, 1).
    """
    *found, divergence = _compared(one, other)
    passes = [
        losses.of_normalisers(outputs, log_z, correct, smoothing=smoothing)
        for outputs, (log_z, correct) in zip((one, other), found, strict=True)
    ]
    mean = losses.Losses(*(sum(pair) / 2 for pair in zip(*passes, strict=True)))
    pulled = weight / 4 * tf.reduce_sum(divergence)
    return mean._replace(loss_sum=mean.loss_sum + pulled)


def _compared(
    one: losses.Outputs, other: losses.Outputs
) -> tuple[tuple[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns log-sum-exp and which targets are best of both, and their divergence.

    With y and z the logits and P and Q their softmax, KL(P || Q) + KL(Q || P) is the
    sum of (P - Q) (y - z), since the normalisers cancel, and its gradient by y

        P (y - z - sum(P (y - z))) + P - Q

    Returns:
        float [N] each.
    """

    @tf.custom_gradient
    def compute(hidden: tf.Tensor, again: tf.Tensor, vectors: tf.Tensor) -> Any:
        logits = [
            losses.logits_of(states, vectors, one.num_subwords)  # [N, V]
            for states in (hidden, again)
        ]
        log_z = [tf.reduce_logsumexp(scores, -1) for scores in logits]
        correct = [
            tf.stop_gradient(losses.is_correct(scores, one.targets))
            for scores in logits
        ]

        def gradient(
            of_one: tf.Tensor,
            of_correct: tf.Tensor,
            of_other: tf.Tensor,
            of_correct_again: tf.Tensor,
            of_divergence: tf.Tensor,
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            del of_correct, of_correct_again  # only counted, never differentiated
            # Made anew, so that two arrays are held between the passes and not five.
            shares = _shares(logits, log_z)
            gap, apart = logits[0] - logits[1], shares[0] - shares[1]
            by_logits = []
            for share, upstream, pull in (
                (shares[0], of_one, of_divergence),
                (shares[1], of_other, -of_divergence),
            ):
                mean = tf.reduce_sum(share * gap, -1, keepdims=True)
                pulled = pull[:, None] * (share * (gap - mean) + apart)
                total = upstream[:, None] * share + pulled
                by_logits.append(tf.cast(total, hidden.dtype))
            return (
                tf.matmul(by_logits[0], vectors),
                tf.matmul(by_logits[1], vectors),
                tf.matmul(by_logits[0], hidden, transpose_a=True)
                + tf.matmul(by_logits[1], again, transpose_a=True),
            )

        shares = _shares(logits, log_z)
        divergence = tf.reduce_sum(
            (shares[0] - shares[1]) * (logits[0] - logits[1]), -1
        )
        return (log_z[0], correct[0], log_z[1], correct[1], divergence), gradient

    narrow = tf.cast(one.vectors, one.hidden.dtype)
    log_z, correct, log_z_again, correct_again, divergence = compute(
        one.hidden, other.hidden, narrow
    )
    return (log_z, correct), (log_z_again, correct_again), divergence


def _shares(logits: list[tf.Tensor], log_z: list[tf.Tensor]) -> list[tf.Tensor]:
    """Returns the softmax of each, float [N, V], for log-sum-exps, float [N]."""
    return [
        tf.exp(scores - z[:, None]) for scores, z in zip(logits, log_z, strict=True)
    ]
