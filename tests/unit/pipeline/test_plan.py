import hashlib
import itertools

import numpy as np
import pytest

from pipeline import bucketing
from pipeline import plan as plan_lib


def _plan(case: int, **changes) -> plan_lib.Plan:
    """Returns a plan over random shards; the same for the same case and changes."""
    draw = np.random.default_rng(case)
    lengths = [
        draw.integers(2, 30, (int(draw.integers(1, 400)), 2))
        for _ in range(int(draw.integers(1, 9)))
    ]
    settings = {
        "pool_examples": int(draw.integers(1, 900)),
        "max_length": 25,
        "seed": int(draw.integers(0, 1000)),
    } | changes
    every = np.concatenate(lengths)
    kept = every[every.max(axis=1) <= settings["max_length"]]
    pairs, counts = np.unique(kept, axis=0, return_counts=True)
    buckets = bucketing.learn(
        np.concatenate([pairs, counts[:, None]], axis=1),
        num_buckets=int(draw.integers(1, 12)),
        multiple=1,
        tokens_per_batch=int(draw.integers(30, 600)),
    )
    return plan_lib.Plan(lengths, buckets, **settings)


def _batches(plan: plan_lib.Plan, epoch: int):
    """Yields (cursor, bucket, global row numbers with fillers) of an epoch."""
    first = np.cumsum([0, *(len(shard) for shard in plan.lengths)])
    for index in range(len(plan.pools(epoch))):
        pool = plan.pool(epoch, index)
        numbers = np.concatenate(
            [first[s] + np.arange(len(plan.lengths[s])) for s in pool.shards]
        )
        for batch in range(pool.num_batches):
            rows = pool.rows[pool.offsets[batch] : pool.offsets[batch + 1]]
            named = np.where(rows >= 0, numbers[rows], plan_lib.FILLER_ROW)
            yield plan_lib.Cursor(epoch, index, batch), pool.buckets[batch], named


SEEDS = range(25)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_pair_comes_exactly_once_an_epoch_and_the_rest_is_counted(seed):
    plan = _plan(seed)
    every = np.concatenate(plan.lengths)
    wanted = np.flatnonzero(every.max(axis=1) <= 25)
    for epoch in (0, 1):
        rows = np.concatenate([rows for _, _, rows in _batches(plan, epoch)])
        assert sorted(rows[rows >= 0]) == wanted.tolist()
    assert plan.num_examples == len(wanted)
    assert plan.num_examples + plan.num_too_long == len(every)


@pytest.mark.parametrize("seed", SEEDS)
def test_batches_fit_their_bucket_and_have_one_of_four_sizes(seed):
    plan = _plan(seed)
    every = np.concatenate(plan.lengths)
    for _, bucket, rows in _batches(plan, 0):
        full = int(plan.buckets.rows[bucket])
        assert len(rows) in {-(-full * part // 4) for part in (1, 2, 3, 4)}
        lengths = every[rows[rows >= 0]]
        assert len(lengths)
        assert (lengths[:, 0] <= plan.buckets.src[bucket]).all()
        assert (lengths[:, 1] <= plan.buckets.tgt[bucket]).all()


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


def test_pools_hold_whole_shards_within_their_size_or_one_shard():
    plan = _plan(6, pool_examples=500)
    for pool in plan.pools(0):
        sizes = [len(plan.lengths[shard]) for shard in pool]
        assert len(sizes) == 1 or sum(sizes) <= 500
    assert sorted(np.concatenate(plan.pools(0))) == list(range(len(plan.lengths)))


def test_the_plan_is_the_same_on_every_machine():
    """The golden digest is what this test printed when PLAN_VERSION became 1."""
    plan = _plan(1)
    digest = hashlib.sha256()
    for epoch in (0, 1):
        for cursor, bucket, rows in _batches(plan, epoch):
            digest.update(repr((tuple(cursor), int(bucket), rows.tolist())).encode())
    assert plan_lib.PLAN_VERSION == 1
    assert digest.hexdigest()[:16] == "eae1dcb17b7b5dda"


def test_the_digest_changes_with_everything_the_plan_depends_on():
    digests = {
        _plan(1).digest,
        _plan(2).digest,
        _plan(1, seed=5).digest,
        _plan(1, max_length=24).digest,
        _plan(1, pool_examples=17).digest,
    }
    assert len(digests) == 5
    assert _plan(1).digest in digests


def test_a_plan_of_nothing_is_refused():
    buckets = bucketing.learn(
        np.array([[5, 5, 1]]), num_buckets=1, multiple=1, tokens_per_batch=16
    )
    with pytest.raises(ValueError, match="--max_length"):
        plan_lib.Plan(
            [np.array([[9, 9]])], buckets, pool_examples=10, max_length=5, seed=1
        )


@pytest.mark.parametrize("full", [1, 2, 3, 7, 100])
def test_a_partial_batch_is_the_smallest_quarter_that_holds_it(full):
    sizes = [-(-full * part // 4) for part in (1, 2, 3, 4)]
    for rows in range(1, full + 1):
        size = plan_lib.partial_rows(rows, full)
        assert size in sizes
        assert size >= rows
        assert not any(rows <= smaller < size for smaller in sizes)
