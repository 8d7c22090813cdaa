"""Pools: whole shards that are read at once; lanes: shards that stay apart for good.

shards   0 1 2 3 4 5        of one corpus
lanes    0 2 4 | 1 3 5      dealt in turn, the same in every epoch
pools    4 0 | 3 1, 2 | 5   permuted and cut; a pool has shards of every lane
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline import cutting


class Pool(NamedTuple):
    """The batches of one pool.

    Attributes:
        shards: Indices of its shards, lane after lane, in the order in which they are
            read, int64 [P].
        first_shards: Where each lane begins in `shards`, int64 [lanes + 1].
        first_rows: Number of each lane's first row, int64 [lanes + 1].
        rows: Row numbers in the concatenated shards, batch after batch and within it
            lane after lane; FILLER_ROW for rows that only fill a shape, int64 [R].
        offsets: Where each batch begins in `rows`, int64 [num_batches + 1].
        buckets: The bucket of each batch, int64 [num_batches].
    """

    shards: np.ndarray
    first_shards: np.ndarray
    first_rows: np.ndarray
    rows: np.ndarray
    offsets: np.ndarray
    buckets: np.ndarray

    @property
    def num_batches(self) -> int:
        """Number of batches."""
        return len(self.buckets)

    def part(self, first_lane: int, last_lane: int) -> "Pool":
        """Returns what a reader of some lanes has of it, its rows numbered anew.

        Args:
            first_lane: The first of its lanes.
            last_lane: One more than the last.
        """
        num_lanes = len(self.first_rows) - 1
        num_rows = np.diff(self.offsets)
        place = np.arange(len(self.rows)) - np.repeat(self.offsets[:-1], num_rows)
        sizes = num_rows // num_lanes
        lanes = place // np.repeat(sizes, num_rows)
        rows = self.rows[(lanes >= first_lane) & (lanes < last_lane)]
        base = self.first_rows[first_lane]
        begin, end = self.first_shards[[first_lane, last_lane]]
        return Pool(
            shards=self.shards[begin:end],
            first_shards=self.first_shards[first_lane : last_lane + 1] - begin,
            first_rows=self.first_rows[first_lane : last_lane + 1] - base,
            rows=np.where(rows >= 0, rows - base, cutting.FILLER_ROW),
            offsets=np.append(0, np.cumsum(sizes * (last_lane - first_lane))),
            buckets=self.buckets,
        )


def deal(corpora: Sequence[int], num_lanes: int) -> list[np.ndarray]:
    """Returns the shards of each lane, every corpus dealt in turn.

    Args:
        corpora: Which corpus each shard belongs to.
        num_lanes: How many lanes there are.

    Raises:
        ValueError: If a lane would have none.
    """
    lanes: list[list[int]] = [[] for _ in range(num_lanes)]
    dealt: dict[int, int] = {}
    for shard, corpus in enumerate(corpora):
        number = dealt.get(corpus, 0)
        lanes[number % num_lanes].append(shard)
        dealt[corpus] = number + 1
    if not all(lanes):
        raise ValueError(
            f"--plan_lanes={num_lanes} needs as many shards, there are {len(corpora)}; "
            "build the data with a larger --num_shards, or plan fewer lanes"
        )
    return [np.array(lane) for lane in lanes]


def group(sizes: Sequence[np.ndarray], room: float) -> list[np.ndarray]:
    """Cuts the shards of every lane into pools, as few as have room for their rows.

    Args:
        sizes: Rows of each lane's shards, in reading order, int64 [N].
        room: Rows of a lane that a pool has room for; a larger shard is alone in it.

    Returns:
        For each lane where its part of each pool begins, and the end: int64
        [num_pools + 1], at least one shard in every part.
    """
    most = min(map(len, sizes))
    # No smaller number can do, and trying them takes hours for 100,000 shards.
    fewest = -(-max(int(size.sum()) for size in sizes) // max(1, int(room)))
    fewest = max(fewest, *(_fewest_groups(size, room) for size in sizes))
    for count in range(min(fewest, most), most + 1):
        groups = [_groups(size, count) for size in sizes]
        if all(
            _fits(size, ends, room) for size, ends in zip(sizes, groups, strict=True)
        ):
            break
    return groups


def _groups(sizes: np.ndarray, count: int) -> np.ndarray:
    """Cuts a sequence into `count` parts of one element or more and about equal sums.

    >>> _groups(np.array([5, 1, 1, 1, 5, 5]), 3).tolist()
    [0, 2, 5, 6]

    Args:
        sizes: The sequence, int64 [N].
        count: At least 1 and at most N.

    Returns:
        Where each part begins, and the end, int64 [count + 1].
    """
    total = sizes.cumsum()
    parts = np.arange(1, count)
    wanted = total[-1] * parts / count
    after = np.minimum(np.searchsorted(total, wanted), len(total) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(total[before] - wanted) <= np.abs(total[after] - wanted)
    # Of equal sums, where some elements are 0, the first.
    ends = np.searchsorted(total, total[np.where(nearer, before, after)]) + 1
    # Every part before it has an element, and every part after it.
    ends = np.maximum.accumulate(ends - parts) + parts
    ends = np.minimum(ends, len(sizes) - count + parts)
    return np.concatenate([[0], ends, [len(sizes)]])


def _fewest_groups(sizes: np.ndarray, room: float) -> int:
    """Returns into how few parts a sequence can be cut, none of a larger sum than room.

    An element that is larger itself is a part. Taking what fits, part by part, is best.

    >>> _fewest_groups(np.array([2, 2, 2, 9, 1, 1]), 4.0)
    4
    """
    total = sizes.cumsum()
    count = end = 0
    while end < len(sizes):
        before = total[end - 1] if end else 0
        fitting = int(np.searchsorted(total, before + room, side="right"))
        end = max(fitting, end + 1)
        count += 1
    return count


def _fits(sizes: np.ndarray, ends: np.ndarray, room: float) -> bool:
    """Returns whether every part is one element, or its sum at most room."""
    sums = np.diff(np.append(0, sizes.cumsum())[ends])
    return bool(np.all((sums <= room) | (np.diff(ends) == 1)))
