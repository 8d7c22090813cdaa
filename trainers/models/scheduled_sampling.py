"""Scheduled sampling: a decoder learns to go on from its own guesses.

Bengio et al. 2015, https://arxiv.org/abs/1506.03099: at each target position a coin
says whether the decoder reads the reference or its own best guess of what comes there.
No gradient flows through a guess (section 2.4), so the guesses are made first, by
decoding the batch, and what they replace is then trained on like any other target
input: the same recurrence, in a fast loop and in a slow one.

Guesses are made without dropout.
"""

from typing import Any

import tensorflow as tf

from trainers import noise
from trainers.decoding import decoder

_PLACE = "scheduled_sampling"


def mixed(
    model: decoder.Decodable,
    src_ids: tf.Tensor,
    tgt_in_ids: tf.Tensor,
    *,
    probability: tf.Tensor,
    draw: noise.Noise,
) -> tf.Tensor:
    """Returns target inputs in which some ids are guesses, int32 [B, T].

    The first, BOS, stays.

    Args:
        model: Guesses.
        src_ids: Source and EOS, int32 [B, S].
        tgt_in_ids: BOS and target, int32 [B, T].
        probability: That an id is a guess, float32 [].
        draw: Tosses the coins.
    """
    num_rows, length = tf.unstack(tf.shape(tgt_in_ids))
    is_guessed = draw.uniform(length, num_rows, _PLACE) < probability  # [T, B]
    references = tf.transpose(tgt_in_ids)  # [T, B]

    def one_position(position: Any, ids: Any, chosen: Any, state: Any) -> Any:
        logits, state = model.next_logits(ids, state)
        guesses = tf.argmax(logits, -1, output_type=tf.int32)
        ids = tf.where(is_guessed[position], guesses, references[position])
        return position + 1, ids, chosen.write(position, ids), state

    state = model.start(src_ids)
    chosen = tf.TensorArray(tf.int32, length).write(0, references[0])
    _, _, chosen, _ = tf.while_loop(
        lambda position, *_: position < length,
        one_position,
        (tf.constant(1), references[0], chosen, state),
    )
    return tf.stop_gradient(tf.transpose(chosen.stack()))


def risen(probability: tf.Tensor, warmup_steps: int, draw: noise.Noise) -> tf.Tensor:
    """Returns the probability at the step of `draw`, float32 [].

    It rises on a line from 0, over so many steps: Bengio et al. 2015, section 2.4,
    linear decay of the reference's share.
    """
    if not warmup_steps:
        return probability
    share = tf.cast(draw.step, tf.float32) / float(warmup_steps)
    return probability * tf.minimum(share, 1.0)
