import hashlib
import itertools
import math

import numpy as np
import pytest

from pipeline import bucketing, cutting, visits
from pipeline import plan as plan_lib

MAX_LENGTH = 25


def _shards(draw: np.random.Generator, count: int) -> list[visits.Shard]:
    return [
        visits.Shard(
            (draw.integers(1, 29, (int(draw.integers(1, 400)), 2)).astype(np.uint16),)
        )
        for _ in range(count)
    ]


def _plan(case: int, shards=None, **changes) -> plan_lib.Plan:
    """Returns a plan over random shards; the same for the same case and changes."""
    draw = np.random.default_rng(case)
    num_lanes = changes.get("num_lanes", 1)
    shards = shards or _shards(draw, int(draw.integers(num_lanes, num_lanes + 8)))
    settings = {
        "pool_examples": int(draw.integers(1, 900)),
        "max_length": MAX_LENGTH,
        "seed": int(draw.integers(0, 1000)),
        "row_multiple": num_lanes,
    } | changes
    every = np.concatenate([part for shard in shards for part in shard.lengths]) + 1
    kept = every[every.max(axis=1) <= settings["max_length"]]
    pairs, counts = np.unique(kept, axis=0, return_counts=True)
    step = settings["row_multiple"]
    buckets = bucketing.learn(
        np.concatenate([pairs, counts[:, None]], axis=1),
        num_buckets=int(draw.integers(1, 12)),
        multiple=1,
        budget=bucketing.Budget(int(draw.integers(30, 600)) * step, row_multiple=step),
    )
    return plan_lib.Plan(shards, buckets, **settings)


def _numbers(plan: plan_lib.Plan, shards) -> np.ndarray:
    """Returns the global numbers of the rows of some shards, in their order."""
    first = np.cumsum([0, *(len(shard.lengths[0]) for shard in plan.shards)])
    return np.concatenate([np.arange(first[s], first[s + 1]) for s in shards])


def _batches(plan: plan_lib.Plan, epoch: int, lanes: slice | None = None):
    """Yields (cursor, bucket, global row numbers with fillers) of an epoch."""
    for index in range(len(plan.pools(epoch))):
        pool = plan.pool(epoch, index)
        if lanes is not None:
            pool = pool.part(lanes.start, lanes.stop)
        numbers = _numbers(plan, pool.shards)
        for batch in range(pool.num_batches):
            rows = pool.rows[pool.offsets[batch] : pool.offsets[batch + 1]]
            named = np.where(rows >= 0, numbers[rows], cutting.FILLER_ROW)
            yield plan_lib.Cursor(epoch, index, batch), pool.buckets[batch], named


def _every(plan: plan_lib.Plan, epoch: int = 0) -> np.ndarray:
    """Returns the lengths of all rows, BOS or EOS counted."""
    return np.concatenate(
        [plan.lengths(s, epoch).astype(int) + 1 for s in range(len(plan.shards))]
    )


CASES = [(seed, lanes) for lanes in (1, 2, 4, 8) for seed in range(15)]


@pytest.mark.parametrize(("seed", "lanes"), CASES)
def test_every_pair_comes_exactly_once_an_epoch_and_the_rest_is_counted(seed, lanes):
    plan = _plan(seed, num_lanes=lanes)
    every = _every(plan)
    wanted = np.flatnonzero(every.max(axis=1) <= MAX_LENGTH)
    for epoch in (0, 1):
        rows = np.concatenate([rows for _, _, rows in _batches(plan, epoch)])
        assert sorted(rows[rows >= 0]) == wanted.tolist()
    assert plan.num_examples == len(wanted)
    assert plan.num_examples + plan.num_too_long == len(every)


@pytest.mark.parametrize(("seed", "lanes"), CASES)
def test_batches_fit_their_bucket_and_have_one_of_four_sizes(seed, lanes):
    plan = _plan(seed, num_lanes=lanes)
    every = _every(plan)
    sizes: dict[int, set[int]] = {}
    for _, bucket, rows in _batches(plan, 0):
        full = int(plan.buckets.rows[bucket])
        assert len(rows) <= full
        assert not len(rows) % lanes
        sizes.setdefault(bucket, {full}).add(len(rows))
        lengths = every[rows[rows >= 0]]
        assert len(lengths)
        assert (lengths[:, 0] <= plan.buckets.src[bucket]).all()
        assert (lengths[:, 1] <= plan.buckets.tgt[bucket]).all()
    assert max(map(len, sizes.values())) <= 4


@pytest.mark.parametrize(("seed", "lanes"), CASES)
@pytest.mark.parametrize("row_multiple", [1, 3, 8])
def test_every_batch_has_one_of_the_shapes_told_beforehand(seed, lanes, row_multiple):
    plan = _plan(seed, num_lanes=lanes, row_multiple=math.lcm(row_multiple, lanes))
    told = set(plan.shapes())
    assert len(told) <= 4 * len(plan.buckets)
    met = {
        (len(rows), int(plan.buckets.src[bucket]), int(plan.buckets.tgt[bucket]))
        for epoch in range(2)
        for _, bucket, rows in _batches(plan, epoch)
    }
    assert met <= told


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("row_multiple", [2, 3, 8])
def test_the_rows_of_every_batch_are_a_multiple(seed, row_multiple):
    plan = _plan(seed, row_multiple=row_multiple)
    assert not any(len(rows) % row_multiple for _, _, rows in _batches(plan, 0))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("num_readers", [1, 2, 4, 8])
def test_readers_together_have_the_global_batches_and_read_only_their_shards(
    seed, num_readers
):
    """FAULTS 33 and 35."""
    plan = _plan(seed, num_lanes=8)
    whole = list(_batches(plan, 0))
    lanes = 8 // num_readers
    parts = [
        list(_batches(plan, 0, slice(reader * lanes, (reader + 1) * lanes)))
        for reader in range(num_readers)
    ]
    for global_batch, *shares in zip(whole, *parts, strict=True):
        cursor, bucket, rows = global_batch
        assert {share[0] for share in shares} == {cursor}
        assert {share[1] for share in shares} == {bucket}  # all run the same shape
        assert len({len(share[2]) for share in shares}) == 1
        joined = np.concatenate([share[2] for share in shares])
        np.testing.assert_array_equal(joined, rows)
    for pool in range(len(plan.pools(0))):
        read = [
            set(plan.pool(0, pool).part(r * lanes, (r + 1) * lanes).shards.tolist())
            for r in range(num_readers)
        ]
        for one, other in itertools.combinations(read, 2):
            assert not one & other
        assert set.union(*read) == set(plan.pool(0, pool).shards.tolist())


def test_a_reader_reads_the_same_shards_in_every_epoch():
    plan = _plan(4, num_lanes=4)
    shards = [
        {
            int(shard)
            for pool in range(len(plan.pools(epoch)))
            for shard in plan.pool(epoch, pool).part(1, 2).shards
        }
        for epoch in range(3)
    ]
    assert shards[0] == shards[1] == shards[2]


def test_fewer_shards_than_lanes_are_refused():
    """FAULTS 31."""
    draw = np.random.default_rng(1)
    with pytest.raises(ValueError, match="--plan_lanes=8 needs as many shards, .* 7"):
        _plan(1, shards=_shards(draw, 7), num_lanes=8)


def _with_rates(*rates: float) -> plan_lib.Plan:
    draw = np.random.default_rng(7)
    shards = [
        shard._replace(rate=rate, corpus=corpus)
        for corpus, rate in enumerate(rates)
        for shard in _shards(draw, 3)
    ]
    return _plan(7, shards=shards, max_length=99)


@pytest.mark.parametrize(
    "rates", [(1.0, 2.0), (0.3, 1.7), (0.25, 4.0), (0.9, 60.3), (1.0, 1.0)]
)
def test_a_rate_is_kept_to_within_one_after_every_epoch(rates):
    plan = _with_rates(*rates)
    seen = np.zeros(len(_every(plan)), int)
    of_row = np.concatenate([np.full(len(s.lengths[0]), s.rate) for s in plan.shards])
    for epoch in range(8):
        for _, _, rows in _batches(plan, epoch):
            np.add.at(seen, rows[rows >= 0], 1)
        assert (np.abs(seen - of_row * (epoch + 1)) < 1).all()
    assert seen.sum() == pytest.approx(8 * of_row.sum(), rel=0.05)


# Of two corpora the shards, the pairs in each and how often they come; some shards are
# larger than a pool of 26,000.
@pytest.mark.parametrize("num_lanes", [1, 4])
@pytest.mark.parametrize(
    "corpora",
    [
        [(160, 2_500, 0.75), (16, 125, 50.0)],
        [(400, 1_000, 0.9), (16, 125, 20.0)],
        [(16, 28_000, 0.33), (16, 125, 150.0)],
        [(16, 28_000, 1.0), (16, 28_000, 1.0)],
        [(16, 28_000, 1.0), (16, 16_000, 1.0)],
        [(20, 28_000, 0.2), (20, 28_000, 1.8)],
    ],
)
def test_every_pool_of_a_mixture_has_about_the_share_of_each_corpus(corpora, num_lanes):
    shards = []
    for corpus, (count, pairs, rate) in enumerate(corpora):
        lengths = np.full((pairs, 2), 9, np.uint16)
        shards += [visits.Shard((lengths,), rate, corpus)] * count
    plan = _plan(1, shards, pool_examples=26_000, num_lanes=num_lanes)
    times = [count * pairs * rate for count, pairs, rate in corpora]
    share = times[1] / sum(times)
    parts = []
    for index in range(len(plan.pools(1))):
        pool = plan.pool(1, index)
        corpus = np.array([plan.shards[shard].corpus for shard in pool.shards])
        sizes = [len(plan.shards[shard].lengths[0]) for shard in pool.shards]
        parts.append(np.repeat(corpus, sizes)[pool.rows[pool.rows >= 0]].mean())
    assert len(parts) >= 4
    assert np.median(parts) == pytest.approx(share, abs=0.1)
    assert share / 2 < min(parts) <= max(parts) < min(2 * share, (1 + share) / 2)
    assert plan.about_batches(0)[0] == pytest.approx(plan.num_batches(0), rel=0.3)


@pytest.mark.parametrize("seed", range(5))
def test_advancing_a_cursor_visits_every_batch_in_order(seed):
    plan = _plan(seed)
    wanted = [cursor for epoch in (0, 1) for cursor, _, _ in _batches(plan, epoch)]
    cursor = plan.settle(plan_lib.START)
    visited = []
    while cursor.epoch < 2:
        visited.append(cursor)
        cursor = plan.advance(cursor)
    assert visited == wanted
    assert plan.num_batches(0) == sum(cursor.epoch == 0 for cursor in wanted)


def test_epochs_and_seeds_differ_and_the_same_seed_does_not():
    def order(plan, epoch):
        return [rows.tolist() for _, _, rows in _batches(plan, epoch)]

    plan, again, other = _plan(3), _plan(3), _plan(3, seed=77)
    assert order(plan, 0) == order(again, 0)
    assert order(plan, 0) != order(plan, 1)
    assert order(plan, 0) != order(other, 0)


def test_lengths_do_not_come_in_runs():
    plan = _plan(5, pool_examples=10_000)
    assert len(plan.buckets) > 3
    buckets = [bucket for _, bucket, _ in _batches(plan, 0)]
    repeats = sum(one == other for one, other in itertools.pairwise(buckets))
    assert repeats < len(buckets) / 2


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_pools_hold_whole_shards_within_their_size_or_one_shard(lanes):
    plan = _plan(6, pool_examples=500 * lanes, num_lanes=lanes)
    for pool in plan.pools(0):
        for lane in pool:
            sizes = [len(plan.shards[shard].lengths[0]) for shard in lane]
            assert len(sizes) == 1 or sum(sizes) <= 500
    read = np.concatenate([lane for pool in plan.pools(0) for lane in pool])
    assert sorted(read) == list(range(len(plan.shards)))


def test_the_plan_is_the_same_on_every_machine():
    """The golden digest is what this test printed when PLAN_VERSION became 2."""
    digest = hashlib.sha256()
    for lanes in (1, 2):
        plan = _plan(1, num_lanes=lanes)
        for epoch in (0, 1):
            for cursor, bucket, rows in _batches(plan, epoch):
                batch = (tuple(cursor), int(bucket), rows.tolist())
                digest.update(repr(batch).encode())
    assert plan_lib.PLAN_VERSION == 2
    assert digest.hexdigest()[:16] == "dadddb8b526cc0ed"


def test_the_digest_changes_with_everything_the_plan_depends_on():
    rated = [shard._replace(rate=2.0) for shard in _plan(1).shards]
    digests = {
        _plan(1).digest,
        _plan(2).digest,
        _plan(1, seed=5).digest,
        _plan(1, max_length=24).digest,
        _plan(1, pool_examples=17).digest,
        _plan(1, row_multiple=2).digest,
        _plan(1, shards=_plan(1).shards, num_lanes=2).digest,
        _plan(1, shards=rated).digest,
    }
    assert len(digests) == 8
    assert _plan(1).digest in digests


def test_a_plan_of_nothing_is_refused():
    buckets = bucketing.learn(
        np.array([[5, 5, 1]]),
        num_buckets=1,
        multiple=1,
        budget=bucketing.Budget(16),
    )
    shard = visits.Shard((np.array([[9, 9]], np.uint16),))
    with pytest.raises(ValueError, match="--max_length=5 leaves no pair"):
        plan_lib.Plan([shard], buckets, pool_examples=10, max_length=5, seed=1)


def test_a_length_that_fills_the_sidecar_does_not_wrap_around():
    """FAULTS 19."""
    longest = 65_535
    buckets = bucketing.Buckets(*(np.array([n]) for n in (longest + 1, 2, 1)))
    shard = visits.Shard((np.array([[longest, 1]], np.uint16),))
    plan = plan_lib.Plan([shard], buckets, pool_examples=1, max_length=70_000, seed=1)
    assert plan.num_too_long == 0
    assert plan.pool(0, 0).rows.tolist() == [0]


class _Counted:
    """A sidecar that tells how often it was read."""

    def __init__(self, lengths: np.ndarray) -> None:
        self._lengths = lengths
        self.reads = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        self.reads += 1
        return self._lengths


def test_with_known_counts_only_the_shards_of_a_pool_are_read():
    held = _plan(3)
    counts = plan_lib.Counts(held.num_examples, held.num_too_long)
    sidecars = [_Counted(shard.lengths[0]) for shard in held.shards]
    lazy = plan_lib.Plan(
        [visits.Shard((sidecar,)) for sidecar in sidecars],
        held.buckets,
        pool_examples=held._pool_examples,
        max_length=MAX_LENGTH,
        seed=held.seed,
        counts=counts,
    )
    assert len(lazy.pools(0)) > 1
    assert lazy.num_batches(0) > 0
    lazy.pool.cache_clear()
    for sidecar in sidecars:
        sidecar.reads = 0
    np.testing.assert_array_equal(lazy.pool(0, 1).rows, held.pool(0, 1).rows)
    own = set(lazy.pool(0, 1).shards.tolist())
    assert {n for n, sidecar in enumerate(sidecars) if sidecar.reads} == own
    assert (lazy.num_examples, lazy.num_too_long) == counts
    assert lazy.digest == held.digest


def test_an_epoch_of_many_pools_is_not_planned_to_count_its_batches(monkeypatch):
    plan = _plan(3)
    assert plan.about_batches(0) == (plan.num_batches(0), True)
    monkeypatch.setattr(plan_lib, "_PLANNED_POOLS", 1)
    about, exact = plan.about_batches(0)
    assert not exact
    assert about == len(plan.pools(0)) * plan.pool(0, 0).num_batches
