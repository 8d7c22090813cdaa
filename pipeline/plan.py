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

In a mixture of corpora the shards of each are spread over the epoch, and those whose
pairs come often are visited in several pools, with some of the copies each, so that
every pool has about the same share of each corpus.

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

from pipeline import bucketing, cutting, hashing, sidecars
from pipeline import pools as pools_lib

# Part of the digest: raise it when the same settings give other batches than before.
PLAN_VERSION = 2
_MIXTURE_VERSION = 3  # the same where there are several corpora
_MIXTURE_SLACK = 1.25  # so that parts of equal sums, cut between shards, have room
_MIXTURE_SHARDS = 4  # the largest ones that a pool has room for, whatever its rows
_PLANNED_POOLS = 32  # of an epoch that is planned to tell its number of batches

_SHARD_ORDER, _ROW_ORDER, _BATCH_ORDER, _COPIES = 1, 2, 3, 4  # what a hash is for


class Cursor(NamedTuple):
    """The next batch to run."""

    epoch: int = 0
    pool: int = 0
    batch: int = 0


START = Cursor()


Lengths = np.ndarray | sidecars.Sidecar


class Shard(NamedTuple):
    """What a plan knows of a shard.

    Attributes:
        lengths: Tokens of its pairs without BOS or EOS, uint16 [N, 2], for each
            segmentation that was drawn of them; epoch e reads number e modulo how many.
            A sidecar stands for its array and is read when a pool has the shard.
        rate: How often a pair comes in an epoch. With 1.5 it comes three times in every
            two epochs.
        corpus: Which of several corpora it belongs to; each is dealt to all lanes.
    """

    lengths: tuple[Lengths, ...]
    rate: float = 1.0
    corpus: int = 0


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
        shards: Sequence[Shard],
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
        corpora = [shard.corpus for shard in self.shards]
        self._is_mixture = len(set(corpora)) > 1
        self._lanes = pools_lib.deal(corpora, num_lanes)
        self._num_visits = self._visits_of_corpora()
        self.num_examples, self.num_too_long = counts or self._counts()
        self.pool = functools.lru_cache(maxsize=4)(self._pool)

    @functools.cached_property
    def digest(self) -> str:
        """Returns a hash of everything the plan depends on, in hexadecimal."""
        parts = hashlib.sha256()
        settings = (
            _MIXTURE_VERSION if self._is_mixture else PLAN_VERSION,
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

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a plan lives as long as its program
    def pools(self, epoch: int) -> list[list[np.ndarray]]:
        """Returns the shards of each lane of each pool of an epoch, in reading order.

        Every pool has at least one shard of every lane.
        """
        num_shards = len(self.shards)
        return [
            [visits % num_shards for visits in lanes] for lanes in self._visits(epoch)
        ]

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a plan lives as long as its program
    def _visits(self, epoch: int) -> list[list[np.ndarray]]:
        """Returns the same in visits: visit v of shard s is s + v * shards."""
        lanes = [self._in_order(lane, epoch) for lane in self._lanes]
        sizes = [
            np.array([self._size(visit % len(self.shards)) for visit in lane])
            for lane in lanes
        ]
        begins = pools_lib.group(sizes, self._room(lanes, sizes))
        return [
            [
                lane[begin[pool] : begin[pool + 1]]
                for lane, begin in zip(lanes, begins, strict=True)
            ]
            for pool in range(len(begins[0]) - 1)
        ]

    def _room(self, lanes: list[np.ndarray], sizes: list[np.ndarray]) -> float:
        """Returns how many rows of a lane a pool has room for.

        In a mixture of large shards that is what lies between two visits to the corpus
        that is visited least, so that every pool has a shard of it.

        Args:
            lanes: Visits in reading order.
            sizes: Rows of each.
        """
        room = self._pool_examples / self.num_lanes
        if not self._is_mixture:
            return room
        for visits, size in zip(lanes, sizes, strict=True):
            corpora = [self.shards[v % len(self.shards)].corpus for v in visits]
            between = size.sum() / np.unique(corpora, return_counts=True)[1].min()
            most = _MIXTURE_SHARDS * size.max()
            room = max(room, min(float(_MIXTURE_SLACK * between), float(most)))
        return room

    def _in_order(self, lane: np.ndarray, epoch: int) -> np.ndarray:
        """Returns the visits to a lane's shards, each corpus spread over the epoch."""
        corpora = np.array([self.shards[shard].corpus for shard in lane])
        visits, places = [], []
        for corpus in np.unique(corpora):
            own = lane[corpora == corpus]
            rounds = np.arange(self._num_visits[corpus])[:, None] * len(self.shards)
            keys = hashing.bits(
                (own + rounds).reshape(-1), self.seed, epoch, _SHARD_ORDER
            ).reshape(-1, len(own))
            ordered = own[np.argsort(keys, axis=1, kind="stable")] + rounds
            visits.append(ordered.reshape(-1))
            places.append((np.arange(ordered.size) + 0.5) / ordered.size)
        order = np.argsort(np.concatenate(places), kind="stable")
        merged: np.ndarray = np.concatenate(visits)[order]
        return merged

    def _visits_of_corpora(self) -> dict[int, int]:
        """Returns in how many pools of an epoch a shard of each corpus is.

        As many as its pairs come, and as there are pools at most.
        """
        total = sum(self._size(shard) for shard in range(len(self.shards)))
        num_pools = -(-total // self._pool_examples)
        return {
            shard.corpus: min(max(math.ceil(shard.rate), 1), num_pools)
            if self._is_mixture
            else 1
            for shard in self.shards
        }

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

    def _size(self, shard: int) -> int:
        return len(self.shards[shard].lengths[0])

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
            examples += int(self._copies(shard, 0)[kept].sum())
            too_long += int((~kept).sum())
        for epoch in range(max(len(shard.lengths) for shard in self.shards)):
            if not any(self._kept(shard, epoch).any() for shard in every):
                raise ValueError("no pair is left to train on; raise --max_length")
        return Counts(examples, too_long)

    def _copies(self, shard: int, epoch: int, visit: int | None = None) -> np.ndarray:
        """Returns how often each pair of a shard comes in an epoch, int64 [N].

        Rounded down from an offset drawn for each pair, so that after e epochs it has
        come rate * e times, rounded down or up; and so after each visit of an epoch.

        Args:
            shard: Its index.
            epoch: The epoch.
            visit: To count one visit of the epoch alone.
        """
        rate, size = self.shards[shard].rate, self._size(shard)
        if rate == 1:
            return np.ones(size, np.int64)
        visits = self._num_visits[self.shards[shard].corpus]
        first, count = epoch * visits, visits
        if visit is not None:
            first, count = first + visit, 1
        bits = hashing.bits(np.arange(size), self.seed, int(shard), _COPIES)
        drawn = (bits >> np.uint64(11)) / 2.0**53
        before, after = (
            np.floor(rate * number / visits + drawn)
            for number in (first, first + count)
        )
        return (after - before).astype(np.int64)

    def _pool(self, epoch: int, pool: int) -> pools_lib.Pool:
        lanes = self._visits(epoch)[pool]
        visits = np.concatenate(lanes)
        shards = visits % len(self.shards)
        sizes = [
            sum(self._size(visit % len(self.shards)) for visit in lane)
            for lane in lanes
        ]
        batches = cutting.cut(
            self._queues(epoch, pool, visits, sizes),
            self.buckets,
            row_multiple=self._row_multiple,
        )
        order = hashing.order(len(batches), self.seed, epoch, pool, _BATCH_ORDER)
        chosen = [batches[index] for index in order]
        rows = [batch.rows for batch in chosen]
        return pools_lib.Pool(
            shards=shards,
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
        numbers, shards = np.divmod(visits, len(self.shards))
        lengths = np.concatenate(
            [self.lengths(shard, epoch).astype(np.int64) + 1 for shard in shards]
        )
        copies = np.concatenate(
            [
                self._copies(shard, epoch, number) * self._kept(shard, epoch)
                for number, shard in zip(numbers, shards, strict=True)
            ]
        )
        rows = np.repeat(np.arange(len(copies)), copies)
        rows = rows[hashing.order(len(rows), self.seed, epoch, pool, _ROW_ORDER)]
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
