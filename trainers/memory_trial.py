"""The largest batches, tried before the first step: memory runs out now or never."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipeline import batching, vocabulary
from pipeline import plan as plan_lib


def largest_batches(plan: plan_lib.Plan) -> list[batching.Batch]:
    """Returns batches as large as any of any epoch: one or two full ones.

    The one with the most tokens on both sides, for activations and logits, and the one
    with the largest square, for attention. They are full of unknown words, so that no
    logits are spared.
    """
    src, tgt, rows = plan.buckets.src, plan.buckets.tgt, plan.buckets.rows
    sizes = (rows * (src + tgt), rows * np.maximum(src, tgt) ** 2)
    chosen = dict.fromkeys(int(np.argmax(size)) for size in sizes)
    return [_full(int(rows[k]), int(src[k]), int(tgt[k])) for k in chosen]


def _full(rows: int, src: int, tgt: int) -> batching.Batch:
    def ids(length: int) -> tf.Tensor:
        return tf.fill([rows, length], vocabulary.UNK_ID)

    return batching.Batch(src_ids=ids(src), tgt_in_ids=ids(tgt), tgt_out_ids=ids(tgt))


def told(batches: Sequence[batching.Batch]) -> str:
    """Returns the shapes of batches, for people: rows x source + target."""
    return ", ".join(
        f"{batch.src_ids.shape[0]} x ({batch.src_ids.shape[1]} + "
        f"{batch.tgt_in_ids.shape[1]})"
        for batch in batches
    )
