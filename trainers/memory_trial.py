"""The largest batches, tried before the first step: memory runs out now or never."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline import batching, examples
from pipeline import plan as plan_lib


def largest_batches(
    plan: plan_lib.Plan, kind: examples.Kind = examples.PAIRS, num_readers: int = 1
) -> list[Any]:
    """Returns batches as large as any of any epoch: one or two full ones.

    With several readers they are one reader's part.

    The one with the most tokens on both sides, for activations and logits, the one with
    the largest square, for attention, and where all texts of a batch are compared, the
    one for which that takes most. They are full of unknown words, so that no logits are
    spared.
    """
    src, tgt, rows = plan.buckets.src, plan.buckets.tgt, plan.buckets.rows
    longer = np.maximum(src, tgt)
    sizes = [rows * (src + tgt), rows * longer**2]
    if kind is examples.TEXTS:
        sizes.append(rows**2 * longer)
    chosen = dict.fromkeys(int(np.argmax(size)) for size in sizes)
    return [
        kind.full(int(rows[k]) // num_readers, int(src[k]), int(tgt[k])) for k in chosen
    ]


def told(batches: Sequence[Any]) -> str:
    """Returns the shapes of batches, for people: rows x (source + target).

    Of labelled texts it is rows x source: what comes last are shares of classes.
    """
    return ", ".join(map(_told, batches))


def _told(batch: Any) -> str:
    first, *_, last = batch
    rows, length = first.shape
    if isinstance(batch, batching.LabelBatch):
        return f"{rows} x {length}"
    return f"{rows} x ({length} + {last.shape[1]})"
