"""What decoders are asked in tests, from lists."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainers.decoding import decoder


def of(
    rows: Sequence[Sequence[int]],
    *,
    limit: int = 60,
    minimum: int = 0,
    forced: Sequence[Sequence[int]] | None = None,
    uniforms: np.ndarray | None = None,
) -> decoder.Request:
    """Returns a request for sources with EOS of one length, padded by hand."""
    count = len(rows)
    if uniforms is None:
        uniforms = np.zeros((count, 0), np.float32)
    return decoder.Request(
        src_ids=tf.constant(rows, tf.int32),
        limits=tf.fill([count], limit),
        minimum=tf.fill([count], minimum),
        forced=tf.constant(
            np.zeros((count, 0)) if forced is None else forced, tf.int32
        ),
        uniforms=tf.constant(uniforms, tf.float32),
    )


def plain(src_ids: tf.Tensor, ratio: float, offset: int) -> decoder.Request:
    """Returns what to ask for sources with EOS, int32 [B, S], with limits alone.

    Args:
        src_ids: The sources.
        ratio: A hypothesis is cut after this multiple of its source's tokens,
        offset: and so many more.
    """
    lengths = tf.math.count_nonzero(src_ids, axis=1, dtype=tf.float32)
    limits = tf.cast(tf.cast(ratio, tf.float32) * lengths, tf.int32) + offset
    nothing = tf.zeros([tf.shape(src_ids)[0], 0], tf.int32)
    return decoder.Request(
        src_ids=src_ids,
        limits=tf.maximum(limits, 1),
        minimum=tf.zeros_like(limits),
        forced=nothing,
        uniforms=tf.cast(nothing, tf.float32),
    )
