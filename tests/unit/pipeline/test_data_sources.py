import numpy as np
import pytest

from pipeline import config, data_sources, exits


def _open(data_dir, **changes):
    settings = {"tokens_per_batch": 512, "num_buckets": 3, "pool_examples": 150}
    batch = config.BatchConfig(**(settings | changes))
    return data_sources.open_split(data_dir, "train", batch, seed=3)


def test_longer_pairs_are_left_out_and_counted(data_dir):
    plan = _open(data_dir, max_length=9).plan
    every = np.concatenate([shard.lengths[0] for shard in plan.shards])
    assert plan.num_too_long == (every.max(axis=1) + 1 > 9).sum() > 0
    assert plan.num_examples + plan.num_too_long == len(every)


def test_a_max_length_that_leaves_nothing_is_refused(data_dir):
    with pytest.raises(exits.Refusal, match="--max_length=2 leaves no train pair"):
        _open(data_dir, max_length=2)


def test_more_lanes_than_shards_are_refused(data_dir):
    """FAULTS 31."""
    with pytest.raises(exits.Refusal, match="--plan_lanes=4 needs as many shards"):
        _open(data_dir, plan_lanes=4)
