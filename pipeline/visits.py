"""Visits: which shards each pool of an epoch has, and with how many copies of a pair.

Of one corpus every shard is visited once an epoch, in an order of the epoch. In a
mixture the shards of each corpus are spread over the epoch, and those whose pairs come
often are visited in several pools, with some of the copies each, so that every pool has
about the same share of each corpus:

    shards   0 1 2 3  4         0 to 3 of a corpus that comes once, 4 of one
    rates    1 1 1 1  2         whose pairs come twice
    pools    2 4 0 | 3 4 1      two visits to shard 4, with one copy each

A visit is a number: visit v to shard s is s + v * shards.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline import hashing, sidecars
from pipeline import pools as pools_lib

_SLACK = 1.25  # so that parts of equal sums, cut between shards, have room
_MOST_SHARDS = 4  # the largest ones that a pool has room for, whatever its rows

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

    @property
    def num_pairs(self) -> int:
        """Number of its pairs."""
        return len(self.lengths[0])


class Visits:
    """All visits to the shards of one split."""

    def __init__(
        self,
        shards: Sequence[Shard],
        *,
        pool_examples: int,
        num_lanes: int,
        seed: int,
    ) -> None:
        """Deals the shards to lanes.

        Args:
            shards: At least one a lane.
            pool_examples: Rows of a pool; one shard a lane at least makes a pool.
            num_lanes: Equal parts of a batch, each from shards of its own.
            seed: Of the order of the shards, and of who comes once more than others.

        Raises:
            ValueError: If there are fewer shards than lanes.
        """
        self._shards = shards
        self._seed = seed
        self._pool_examples = pool_examples
        corpora = [shard.corpus for shard in shards]
        self.is_mixture = len(set(corpora)) > 1
        self._lanes = pools_lib.deal(corpora, num_lanes)
        self._num_visits = self._visits_of_corpora()
        self.pools = functools.lru_cache(maxsize=4)(self._pools)

    def shards(self, visits: np.ndarray) -> np.ndarray:
        """Returns the shards that are visited, int64 [P]."""
        return visits % len(self._shards)

    def _pools(self, epoch: int) -> list[list[np.ndarray]]:
        """Returns the visits of each lane of each pool of an epoch, in reading order.

        Every pool has at least one visit of every lane.
        """
        lanes = [self._in_order(lane, epoch) for lane in self._lanes]
        sizes = [self.sizes(visits) for visits in lanes]
        begins = pools_lib.group(sizes, self._room(lanes, sizes))
        return [
            [
                lane[begin[pool] : begin[pool + 1]]
                for lane, begin in zip(lanes, begins, strict=True)
            ]
            for pool in range(len(begins[0]) - 1)
        ]

    def sizes(self, visits: np.ndarray) -> np.ndarray:
        """Returns the rows of the shard of each visit, int64 [P]."""
        return np.array(
            [self._shards[shard].num_pairs for shard in self.shards(visits)], np.int64
        )

    def copies(self, epoch: int, visit: int) -> np.ndarray:
        """Returns how often each pair of a shard comes in one visit, int64 [N].

        Rounded down from an offset drawn for each pair, so that after e epochs it has
        come rate * e times, rounded down or up; and so after each visit of an epoch.
        """
        number, shard = divmod(int(visit), len(self._shards))
        first = epoch * self._num_visits[self._shards[shard].corpus] + number
        return self._copies(shard, first, 1)

    def copies_in_epoch(self, epoch: int, shard: int) -> np.ndarray:
        """Returns the same in all visits of an epoch to a shard, int64 [N]."""
        count = self._num_visits[self._shards[shard].corpus]
        return self._copies(shard, epoch * count, count)

    def _copies(self, shard: int, first: int, count: int) -> np.ndarray:
        """Returns how often each pair comes in `count` visits, of all epochs."""
        rate, corpus = self._shards[shard].rate, self._shards[shard].corpus
        num_pairs = self._shards[shard].num_pairs
        if rate == 1:
            return np.ones(num_pairs, np.int64)
        bits = hashing.bits(np.arange(num_pairs), self._seed, shard, hashing.COPIES)
        drawn = (bits >> np.uint64(11)) / 2.0**53
        before, after = (
            np.floor(rate * number / self._num_visits[corpus] + drawn)
            for number in (first, first + count)
        )
        return (after - before).astype(np.int64)

    def _in_order(self, lane: np.ndarray, epoch: int) -> np.ndarray:
        """Returns the visits to a lane's shards, each corpus spread over the epoch."""
        corpora = np.array([self._shards[shard].corpus for shard in lane])
        visits, places = [], []
        for corpus in np.unique(corpora):
            own = lane[corpora == corpus]
            rounds = np.arange(self._num_visits[corpus])[:, None] * len(self._shards)
            keys = hashing.bits(
                (own + rounds).reshape(-1), self._seed, epoch, hashing.SHARD_ORDER
            ).reshape(-1, len(own))
            ordered = own[np.argsort(keys, axis=1, kind="stable")] + rounds
            visits.append(ordered.reshape(-1))
            places.append((np.arange(ordered.size) + 0.5) / ordered.size)
        order = np.argsort(np.concatenate(places), kind="stable")
        merged: np.ndarray = np.concatenate(visits)[order]
        return merged

    def _room(self, lanes: list[np.ndarray], sizes: list[np.ndarray]) -> float:
        """Returns how many rows of a lane a pool has room for.

        In a mixture of large shards that is what lies between two visits to the corpus
        that is visited least, so that every pool has a shard of it.

        Args:
            lanes: Visits in reading order.
            sizes: Rows of each.
        """
        room = self._pool_examples / len(self._lanes)
        if not self.is_mixture:
            return room
        for visits, size in zip(lanes, sizes, strict=True):
            corpora = [self._shards[shard].corpus for shard in self.shards(visits)]
            between = size.sum() / np.unique(corpora, return_counts=True)[1].min()
            most = _MOST_SHARDS * size.max()
            room = max(room, min(float(_SLACK * between), float(most)))
        return room

    def _visits_of_corpora(self) -> dict[int, int]:
        """Returns in how many pools of an epoch a shard of each corpus is.

        As many as its pairs come, and as there are pools at most.
        """
        total = sum(shard.num_pairs for shard in self._shards)
        num_pools = -(-total // self._pool_examples)
        return {
            shard.corpus: min(max(math.ceil(shard.rate), 1), num_pools)
            if self.is_mixture
            else 1
            for shard in self._shards
        }
