import numpy as np

from pipeline import bucketing, epoch, visits
from pipeline import plan as plan_lib


def _plan(*shards: list[int], seed: int = 1) -> plan_lib.Plan:
    """Returns a plan over shards of pairs of so many tokens, a shard a pool."""
    buckets = bucketing.learn(
        np.array([[5, 5, 10]]),
        num_buckets=1,
        multiple=1,
        budget=bucketing.Budget(20, row_multiple=1),
    )
    lengths = [np.repeat(np.uint16(sides), 2).reshape(-1, 2) for sides in shards]
    return plan_lib.Plan(
        [visits.Shard((pairs,)) for pairs in lengths],
        buckets,
        pool_examples=1,
        max_length=5,
        seed=seed,
    )


def test_a_full_batch_is_full():
    numbers = epoch.of(_plan([4] * 4))
    assert (numbers.real_rows.tolist(), numbers.fill) == ([4], 1.0)


def test_a_pool_whose_pairs_are_all_too_long_has_no_batch():
    plans = [_plan([4] * 4, [9, 9], seed=seed) for seed in range(8)]
    first_pools = [epoch.of(plan, max_pools=1) for plan in plans]
    found = {(pool.rows.size, pool.num_shapes, pool.fill) for pool in first_pools}
    assert found == {(1, 1, 1.0), (0, 0, 0.0)}
