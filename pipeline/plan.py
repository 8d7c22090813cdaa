"""The plan: every batch of an epoch, known before a shard is read.

A plan is a pure function of the lengths, the seed and the batch settings, computed in
numpy with a hash of its own, so that no library's random stream, no number of threads
and no buffer size can change it. An epoch is a sequence of pools, a pool a group of
whole shards; pool by pool, rows are permuted, dealt to length buckets and cut into
batches, and the order of the batches is permuted:

    shards   3 0 | 2 1          permuted by (seed, epoch), grouped into pools
    rows     17 4 90 33 ...     permuted by (seed, epoch, pool)
    batches  [17 33 ..] [4 ..]  rows of one bucket, within the token budget
    order    2 0 1              permuted by (seed, epoch, pool)

A position in it is a cursor of three numbers, and starting there costs nothing.
"""

import functools
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline import bucketing

# Part of the digest: raise it when the same settings give other batches than before.
PLAN_VERSION = 1
FILLER_ROW = -1

_SHARD_ORDER, _ROW_ORDER, _BATCH_ORDER = 1, 2, 3  # what a hash is drawn for


class Cursor(NamedTuple):
    """The next batch to run."""

    epoch: int = 0
    pool: int = 0
    batch: int = 0


START = Cursor()


class Pool(NamedTuple):
    """The batches of one pool.

    Attributes:
        shards: Indices of its shards, in the order in which they are read, int64 [P].
        rows: Row numbers in the concatenated shards, batch after batch; FILLER_ROW for
            rows that only fill a shape, int64 [R].
        offsets: Where each batch begins in `rows`, int64 [num_batches + 1].
        buckets: The bucket of each batch, int64 [num_batches].
    """

    shards: np.ndarray
    rows: np.ndarray
    offsets: np.ndarray
    buckets: np.ndarray

    @property
    def num_batches(self) -> int:
        """Number of batches."""
        return len(self.buckets)


class Plan:
    """All batches of all epochs over the shards of one split."""

    def __init__(
        self,
        lengths: Sequence[np.ndarray],
        buckets: bucketing.Buckets,
        *,
        pool_examples: int,
        max_length: int,
        seed: int,
        num_segmentations: int = 1,
    ) -> None:
        """Plans over shards.

        Args:
            lengths: For each shard, the tokens of its pairs with BOS or EOS counted,
                int [N, 2]. Shards of further segmentations follow those of the first.
            buckets: Where the pairs go.
            pool_examples: Rows of a pool; one shard at least makes a pool.
            max_length: Pairs with a longer side are left out.
            seed: Of every permutation.
            num_segmentations: How often the same pairs are there, cut otherwise; epoch
                e reads number e modulo this.

        Raises:
            ValueError: If no pair is left.
        """
        self.buckets = buckets
        self.seed = seed
        self._pool_examples = pool_examples
        self._max_length = max_length
        self.lengths = [np.asarray(shard, np.int64) for shard in lengths]
        self.num_segmentations = num_segmentations
        self.num_shards = len(self.lengths) // num_segmentations
        kept = [
            [self._kept(shard) for shard in self._shards_of(epoch)]
            for epoch in range(num_segmentations)
        ]
        # What an epoch has; of later segmentations other pairs may be too long.
        self.num_examples = int(sum(mask.sum() for mask in kept[0]))
        self.num_too_long = int(sum((~mask).sum() for mask in kept[0]))
        if not all(any(mask.any() for mask in masks) for masks in kept):
            raise ValueError("no pair is left to train on; raise --max_length")
        self.pool = functools.lru_cache(maxsize=4)(self._pool)

    @functools.cached_property
    def digest(self) -> str:
        """Returns a hash of everything the plan depends on, in hexadecimal."""
        parts = hashlib.sha256()
        settings = (PLAN_VERSION, self._pool_examples, self._max_length, self.seed)
        parts.update(repr(settings).encode())
        if self.num_segmentations > 1:
            parts.update(repr(self.num_segmentations).encode())
        columns = (self.buckets.src, self.buckets.tgt, self.buckets.rows)
        for array in (*columns, *self.lengths):
            parts.update(np.ascontiguousarray(array, "<i8").tobytes() + b"|")
        return parts.hexdigest()[:16]

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a plan lives as long as its program
    def pools(self, epoch: int) -> list[np.ndarray]:
        """Returns the shards of each pool of an epoch, in reading order."""
        shards = self._shards_of(epoch)
        keys = _hash(np.arange(self.num_shards), self.seed, epoch, _SHARD_ORDER)
        groups: list[list[int]] = []
        room = 0
        for shard in shards[np.argsort(keys, kind="stable")]:
            size = len(self.lengths[shard])
            if not groups or size > room:
                groups.append([])
                room = self._pool_examples
            groups[-1].append(int(shard))
            room -= size
        return [np.asarray(group) for group in groups]

    def advance(self, cursor: Cursor) -> Cursor:
        """Returns where the batch after this one is."""
        return self.settle(cursor._replace(batch=cursor.batch + 1))

    def settle(self, cursor: Cursor) -> Cursor:
        """Returns the same position with the ends of pools and epochs carried over."""
        epoch, pool, batch = cursor
        while batch >= self.pool(epoch, pool).num_batches:
            pool, batch = pool + 1, 0
            if pool == len(self.pools(epoch)):
                epoch, pool = epoch + 1, 0
        return Cursor(epoch, pool, batch)

    def num_batches(self, epoch: int) -> int:
        """Returns the number of batches of an epoch, by planning all of it."""
        return sum(
            self.pool(epoch, pool).num_batches for pool in range(len(self.pools(epoch)))
        )

    def _shards_of(self, epoch: int) -> np.ndarray:
        """Returns the shards that an epoch reads, as indices into all of them."""
        first = epoch % self.num_segmentations * self.num_shards
        return np.arange(first, first + self.num_shards)

    def _kept(self, shard: int) -> np.ndarray:
        return self.lengths[shard].max(axis=1, initial=0) <= self._max_length

    def _pool(self, epoch: int, pool: int) -> Pool:
        shards = self.pools(epoch)[pool]
        lengths = np.concatenate([self.lengths[shard] for shard in shards])
        kept = np.concatenate([self._kept(shard) for shard in shards])
        row_keys = _hash(np.arange(len(lengths)), self.seed, epoch, pool, _ROW_ORDER)
        order = np.argsort(row_keys, kind="stable")
        order = order[kept[order]]
        by_bucket = np.argsort(self.buckets.assign(lengths[order]), kind="stable")
        counts = np.bincount(
            self.buckets.assign(lengths[order]), minlength=len(self.buckets)
        )
        queues = np.split(order[by_bucket], np.cumsum(counts)[:-1])
        batches, buckets = _cut(queues, self.buckets)
        batch_keys = _hash(
            np.arange(len(batches)), self.seed, epoch, pool, _BATCH_ORDER
        )
        permuted = np.argsort(batch_keys, kind="stable")
        chosen = [batches[index] for index in permuted]
        sizes = [len(rows) for rows in chosen]
        return Pool(
            shards=shards,
            rows=np.concatenate([*chosen, np.zeros(0, np.int64)]).astype(np.int64),
            offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            buckets=np.asarray(buckets, np.int64)[permuted],
        )


def partial_rows(rows: int, full: int) -> int:
    """Returns the rows of a partial batch's shape: a quarter, half, ... of a full one.

    Rounding up to quarters keeps the number of shapes a run meets at four a bucket;
    every new shape costs a GPU compiler seconds and a CPU's primitive cache memory.

    >>> [partial_rows(rows, full=10) for rows in (1, 3, 4, 6, 10)]
    [3, 3, 5, 8, 10]
    """
    return next(
        size for size in (-(-full * part // 4) for part in (1, 2, 3, 4)) if size >= rows
    )


def _cut(
    queues: Sequence[np.ndarray], buckets: bucketing.Buckets
) -> tuple[list[np.ndarray], list[int]]:
    """Cuts each bucket's rows into batches; nothing is left over.

    The rest of a bucket, too few rows for a full batch, moves up into the next bucket
    that contains it where that pads less than filling a shape of its own.
    """
    area = buckets.src + buckets.tgt
    waiting = list(queues)
    batches, chosen = [], []
    for k in np.argsort(area, kind="stable"):
        rows, full = waiting[k], int(buckets.rows[k])
        num_full = len(rows) // full
        for part in np.split(rows[: num_full * full], num_full) if num_full else []:
            batches.append(part)
            chosen.append(int(k))
        rest = rows[num_full * full :]
        if not len(rest):
            continue
        size = partial_rows(len(rest), full)
        parent = _parent(int(k), buckets, area)
        if parent is not None:
            padding_above = len(rest) * (area[parent] - area[k])
            if padding_above < (size - len(rest)) * area[k]:
                waiting[parent] = np.concatenate([waiting[parent], rest])
                continue
        filler = np.full(size - len(rest), FILLER_ROW)
        batches.append(np.concatenate([rest, filler]))
        chosen.append(int(k))
    return batches, chosen


def _parent(k: int, buckets: bucketing.Buckets, area: np.ndarray) -> int | None:
    """Returns the smallest larger bucket into which every pair of bucket k fits."""
    fits = (buckets.src >= buckets.src[k]) & (buckets.tgt >= buckets.tgt[k])
    fits &= area > area[k]
    candidates = np.flatnonzero(fits)
    return int(candidates[np.argmin(area[candidates])]) if len(candidates) else None


def _hash(values: np.ndarray, *keys: int) -> np.ndarray:
    """Returns 64 well-mixed bits a value, uint64, for these keys.

    SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195), whose output
    function is a bijection: distinct values get distinct hashes.
    """
    state = np.zeros(1, np.uint64)
    for key in keys:
        state = _mix(state ^ np.uint64(key & 0xFFFFFFFFFFFFFFFF))
    return _mix(values.astype(np.uint64) + state)


def _mix(state: np.ndarray) -> np.ndarray:
    mixed = state + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
