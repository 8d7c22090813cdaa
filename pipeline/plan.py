"""The plan: every batch of an epoch, known before a shard is read.

A plan is a pure function of the lengths, the seed and the batch settings, computed in
numpy with a hash of its own, so that no library's random stream, no number of threads
and no buffer size can change it. An epoch is a sequence of pools, a pool a group of
whole shards; pool by pool, rows are permuted, dealt to length buckets and cut into
batches (`cutting`), and the order of the batches is permuted:

    shards   3 0 | 2 1          permuted by (seed, epoch), grouped into pools
    rows     17 4 90 33 ...     permuted by (seed, epoch, pool)
    batches  [17 33 ..] [4 ..]  rows of one bucket, within the token budget
    order    2 0 1              permuted by (seed, epoch, pool)

In a mixture of corpora a shard may be visited in several pools (`visits`).

With lanes, shards are dealt to them for good, a pool has shards of each, and a batch is
made of equal parts, one a lane. A reader that takes some of the lanes reads their
shards alone, and all readers together have the batches that one would have.

A position in the plan is a cursor of three numbers, and starting there costs nothing.
"""

import functools
import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline import bucketing, cutting, hashing
from pipeline import pools as pools_lib
from pipeline import visits as visits_lib

# Part of the digest: raise it when the same settings give other batches than before.
PLAN_VERSION = 2
_MIXTURE_VERSION = 3  # the same where there are several corpora
_PLANNED_POOLS = 32  # of an epoch that is planned to tell its number of batches


class Cursor(NamedTuple):
    """The next batch to run."""

    epoch: int = 0
    pool: int = 0
    batch: int = 0


START = Cursor()


class Counts(NamedTuple):
    """What a plan says of its first epoch without planning it.

    Attributes:
        examples: Pairs in it, as often as they come.
        too_long: Pairs that are left out.
    """

    examples: int
    too_long: int


class Plan:
    """All batches of all epochs over the shards of one split."""

    def __init__(
        self,
        shards: Sequence[visits_lib.Shard],
        buckets: bucketing.Buckets,
        *,
        pool_examples: int,
        max_length: int,
        seed: int,
        num_lanes: int = 1,
        row_multiple: int = 1,
        counts: Counts | None = None,
    ) -> None:
        """Plans over shards.

        Args:
            shards: At least one a lane.
            buckets: Where the pairs go.
            pool_examples: Rows of a pool; one shard a lane at least makes a pool.
            max_length: Pairs with a longer side, BOS or EOS counted, are left out.
            seed: Of every permutation.
            num_lanes: Equal parts of a batch, each from shards of its own.
            row_multiple: Rows of every batch are a multiple of this.
            counts: Of the first epoch, if they are known to be right and some pair is
                left; the lengths of all shards are gone through otherwise.

        Raises:
            ValueError: If no pair is left, or there are fewer shards than lanes.
        """
        self.buckets = buckets
        self.seed = seed
        self.shards = list(shards)
        self.num_lanes = num_lanes
        self._pool_examples = pool_examples
        self._max_length = max_length
        self._row_multiple = row_multiple
        self._visits = visits_lib.Visits(
            self.shards, pool_examples=pool_examples, num_lanes=num_lanes, seed=seed
        )
        self.num_examples, self.num_too_long = counts or self._counts()
        self.pool = functools.lru_cache(maxsize=4)(self._pool)
        self.pools = functools.lru_cache(maxsize=4)(self._pools)

    @functools.cached_property
    def digest(self) -> str:
        """Returns a hash of everything the plan depends on, in hexadecimal."""
        parts = hashlib.sha256()
        settings = (
            _MIXTURE_VERSION if self._visits.is_mixture else PLAN_VERSION,
            *(self._pool_examples, self._max_length, self.seed),
            *(self.num_lanes, self._row_multiple),
        )
        parts.update(repr(settings).encode())
        for array in (self.buckets.src, self.buckets.tgt, self.buckets.rows):
            parts.update(np.ascontiguousarray(array, "<i8").tobytes() + b"|")
        for shard in self.shards:
            parts.update(repr((shard.rate, shard.corpus)).encode())
            for lengths in shard.lengths:
                array = np.ascontiguousarray(np.asarray(lengths), "<u2")
                parts.update(array.data)
                parts.update(b"|")
        return parts.hexdigest()[:16]

    def lengths(self, shard: int, epoch: int) -> np.ndarray:
        """Returns the tokens of a shard's pairs in an epoch, uint16 [N, 2]."""
        return np.asarray(self.shards[shard].lengths[self.segmentation(shard, epoch)])

    def segmentation(self, shard: int, epoch: int) -> int:
        """Returns which segmentation of a shard an epoch reads."""
        return epoch % len(self.shards[shard].lengths)

    def _pools(self, epoch: int) -> list[list[np.ndarray]]:
        """Returns the shards of each lane of each pool of an epoch, in reading order.

        Every pool has at least one shard of every lane.
        """
        return [
            [self._visits.shards(visits) for visits in lanes]
            for lanes in self._visits.pools(epoch)
        ]

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

    def about_batches(self, epoch: int) -> tuple[int, bool]:
        """Returns about how many batches an epoch has, and whether that is exact.

        Of an epoch of many pools the first is planned and stands for all.
        """
        num_pools = len(self.pools(epoch))
        if num_pools <= _PLANNED_POOLS:
            return self.num_batches(epoch), True
        return self.pool(epoch, 0).num_batches * num_pools, False

    def shapes(self) -> list[tuple[int, int, int]]:
        """Returns every shape a batch of any epoch can have: rows, source, target.

        A run that compiles each of them beforehand compiles none later.
        """
        lanes, step = self.num_lanes, self._row_multiple
        found = []
        for full, src, tgt in zip(
            *(self.buckets.rows, self.buckets.src, self.buckets.tgt), strict=True
        ):
            sizes = cutting.partial_rows(
                int(full) // lanes, step // math.gcd(step, lanes)
            )
            found += [(lanes * rows, int(src), int(tgt)) for rows in sizes]
        return found

    def _kept(self, shard: int, epoch: int) -> np.ndarray:
        """Returns which pairs of a shard are short enough, bool [N]."""
        lengths = self.lengths(shard, epoch)
        longer: np.ndarray = np.maximum(lengths[:, 0], lengths[:, 1])
        return longer < self._max_length

    def _counts(self) -> Counts:
        """Counts the first epoch, a shard at a time.

        Raises:
            ValueError: If an epoch has no pair. Later segmentations may have others
                that are too long.
        """
        examples = too_long = 0
        every = range(len(self.shards))
        for shard in every:
            kept = self._kept(shard, 0)
            examples += int(self._visits.copies_in_epoch(0, shard)[kept].sum())
            too_long += int((~kept).sum())
        for epoch in range(max(len(shard.lengths) for shard in self.shards)):
            if not any(self._kept(shard, epoch).any() for shard in every):
                raise ValueError(
                    f"--max_length={self._max_length} leaves no pair to train on; "
                    "raise it"
                )
        return Counts(examples, too_long)

    def _pool(self, epoch: int, pool: int) -> pools_lib.Pool:
        lanes = self._visits.pools(epoch)[pool]
        visits = np.concatenate(lanes)
        sizes = [int(self._visits.sizes(lane).sum()) for lane in lanes]
        batches = cutting.cut(
            self._queues(epoch, pool, visits, sizes),
            self.buckets,
            row_multiple=self._row_multiple,
        )
        order = hashing.order(len(batches), self.seed, epoch, pool, hashing.BATCH_ORDER)
        chosen = [batches[index] for index in order]
        rows = [batch.rows for batch in chosen]
        return pools_lib.Pool(
            shards=self._visits.shards(visits),
            first_shards=np.append(0, np.cumsum([len(lane) for lane in lanes])),
            first_rows=np.append(0, np.cumsum(sizes)),
            rows=np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int64),
            offsets=np.append(
                0, np.cumsum([len(part) for part in rows], dtype=np.int64)
            ),
            buckets=np.array([batch.bucket for batch in chosen], np.int64),
        )

    def _queues(
        self, epoch: int, pool: int, visits: np.ndarray, sizes: list[int]
    ) -> list[list[np.ndarray]]:
        """Returns the permuted rows of a pool, for each bucket those of each lane.

        Args:
            epoch: The epoch.
            pool: Number of the pool.
            visits: To its shards, lane after lane.
            sizes: Rows of each lane.
        """
        shards = self._visits.shards(visits)
        lengths = np.concatenate(
            [self.lengths(shard, epoch).astype(np.int64) + 1 for shard in shards]
        )
        copies = np.concatenate(
            [
                self._visits.copies(epoch, visit) * self._kept(shard, epoch)
                for visit, shard in zip(visits, shards, strict=True)
            ]
        )
        rows = np.repeat(np.arange(len(copies)), copies)
        rows = rows[hashing.order(len(rows), self.seed, epoch, pool, hashing.ROW_ORDER)]
        assigned = self.buckets.assign(lengths[rows])
        lane_of = np.repeat(np.arange(self.num_lanes), sizes)[rows]
        num_places = len(self.buckets) * self.num_lanes
        place = assigned * self.num_lanes + lane_of
        # Few enough for two bytes, numpy sorts them by counting: five times as fast.
        place = place.astype(np.min_scalar_type(num_places))
        counts = np.bincount(place, minlength=num_places)
        ends = np.cumsum(counts)[:-1]
        queues = np.split(rows[np.argsort(place, kind="stable")], ends)
        return [
            queues[begin : begin + self.num_lanes]
            for begin in range(0, len(queues), self.num_lanes)
        ]
