"""An epoch of a plan in numbers: its batches, their shapes, how full they are."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipeline import plan as plan_lib


class Epoch(NamedTuple):
    """The batches of an epoch in numbers.

    Attributes:
        buckets: The bucket of each batch, int64 [num_batches].
        rows: Its rows, filler included, int64 [num_batches].
        real_rows: Its pairs, int64 [num_batches].
        real_tokens: Source and target tokens that are not padding, int64 [num_batches].
        fill: Real tokens of the epoch over padded ones, both sides.
    """

    buckets: np.ndarray
    rows: np.ndarray
    real_rows: np.ndarray
    real_tokens: np.ndarray
    fill: float

    @property
    def num_shapes(self) -> int:
        """Number of distinct shapes of batches."""
        return len(np.unique(np.stack([self.buckets, self.rows]), axis=1).T)


def of(plan: plan_lib.Plan, max_pools: int | None = None) -> Epoch:
    """Returns the first epoch of a plan in numbers, or of its first pools."""
    none = tuple(np.zeros(0, np.int64) for _ in range(4))  # where all are too long
    columns = zip(none, *_pools(plan, max_pools), strict=True)
    buckets, rows, real_rows, real_tokens = map(np.concatenate, columns)
    padded = rows * (plan.buckets.src + plan.buckets.tgt)[buckets]
    return Epoch(
        buckets=buckets,
        rows=rows,
        real_rows=real_rows,
        real_tokens=real_tokens,
        fill=float(real_tokens.sum() / max(padded.sum(), 1)),
    )


def _pools(
    plan: plan_lib.Plan, max_pools: int | None
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields bucket, rows, pairs and real tokens of each batch, for each pool."""
    for index in range(len(plan.pools(0)))[:max_pools]:
        pool = plan.pool(0, index)
        if not pool.num_batches:
            continue
        lengths = np.concatenate([plan.lengths(shard, 0) for shard in pool.shards])
        tokens = lengths.sum(axis=1, dtype=np.int64)
        real = pool.rows >= 0
        of_row = np.where(real, tokens[pool.rows] + 2, 0)  # BOS or EOS on each side
        begins = pool.offsets[:-1]
        yield (
            pool.buckets,
            np.diff(pool.offsets),
            np.add.reduceat(real.astype(np.int64), begins),
            np.add.reduceat(of_row, begins),
        )
