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
