"""The input side scales: each of W readers reads 1/W of the bytes, within a shard."""

import shutil

import numpy as np
import pytest

from pipeline import config, data_sources, input_pipeline, sidecars
from tests import small_data

LANES = 8


@pytest.fixture(scope="module")
def many_shards(tmp_path_factory):
    """As many shards in every lane."""
    return small_data.make(tmp_path_factory.mktemp("many"), count=900, num_shards=32)


@pytest.fixture(scope="module")
def uneven_shards(tmp_path_factory):
    return small_data.make(tmp_path_factory.mktemp("uneven"), count=900, num_shards=27)


def _open(data_dir) -> data_sources.Source:
    batch = config.BatchConfig(
        tokens_per_batch=2048, num_buckets=3, pool_examples=250, plan_lanes=LANES
    )
    return data_sources.open_split(data_dir, "train", batch, seed=3)


def _shards(source, reader, epoch: int = 0) -> list[int]:
    """Returns the shards that a reader's pools name, as often as they do."""
    plan = source.plan
    return [
        int(shard)
        for index in range(len(plan.pools(epoch)))
        for shard in reader.part(plan.pool(epoch, index)).shards
    ]


@pytest.mark.parametrize("num_readers", [1, 2, 4, 8])
def test_each_reader_has_its_share_of_the_bytes_within_one_shard(
    many_shards, num_readers
):
    _check_shares(many_shards, num_readers, spare_shards=1)


@pytest.mark.parametrize("num_readers", [1, 2, 4, 8])
def test_where_lanes_differ_by_a_shard_a_reader_differs_by_one_a_lane(
    uneven_shards, num_readers
):
    _check_shares(uneven_shards, num_readers, spare_shards=LANES // num_readers)


def _check_shares(data_dir, num_readers: int, spare_shards: int) -> None:
    source = _open(data_dir)
    sizes = np.array([stats[0][0] for stats in source.stats])
    every = []
    for number in range(num_readers):
        reader = input_pipeline.Reader(number, num_readers)
        own = _shards(source, reader)
        assert len(own) == len(set(own)), "a shard is read twice in an epoch"
        assert set(own) == set(_shards(source, reader, epoch=1))
        share = sizes.sum() / num_readers
        assert abs(sizes[own].sum() - share) <= spare_shards * sizes.max()
        every += own
    assert sorted(every) == list(range(len(sizes)))


@pytest.mark.parametrize("num_readers", [2, 4, 8])
def test_a_reader_works_where_only_its_own_shards_are(
    many_shards, tmp_path, num_readers
):
    """Those of the others are not even opened: they are not there."""
    own_copy = tmp_path / "data"
    shutil.copytree(many_shards, own_copy)
    source = _open(own_copy)
    reader = input_pipeline.Reader(num_readers - 1, num_readers)
    own = set(_shards(source, reader))
    for shard, (path,) in enumerate(source.shards):
        if shard not in own:
            path.unlink()
    rows = 0
    for batch in input_pipeline.batches(source, num_epochs=1, reader=reader):
        rows += int((batch.src_ids.numpy()[:, 0] > 2).sum())
    assert rows == sum(len(source.plan.shards[shard].lengths[0]) for shard in own)


def test_what_is_read_pool_by_pool_gives_the_batches_of_what_is_held(
    many_shards, monkeypatch
):
    """Large corpora keep no lengths; their plan is the same, and what it says."""
    held = _open(many_shards)
    monkeypatch.setattr(data_sources, "_HELD_PAIRS", 0)
    lazy = _open(many_shards)
    assert isinstance(lazy.plan.shards[0].lengths[0], sidecars.Sidecar)
    for name in ("num_examples", "num_too_long", "digest"):
        assert getattr(lazy.plan, name) == getattr(held.plan, name)
    assert input_pipeline.read_ahead_bytes(lazy) == input_pipeline.read_ahead_bytes(
        held
    )
    for ours, theirs in zip(
        input_pipeline.batches(lazy, num_epochs=1),
        input_pipeline.batches(held, num_epochs=1),
        strict=True,
    ):
        np.testing.assert_array_equal(ours.src_ids.numpy(), theirs.src_ids.numpy())
        np.testing.assert_array_equal(ours.tgt_out_ids, theirs.tgt_out_ids)


def test_counts_come_from_the_manifest_where_they_can(many_shards, monkeypatch):
    monkeypatch.setattr(data_sources, "_HELD_PAIRS", 0)
    batch = config.BatchConfig(tokens_per_batch=2048, num_buckets=3, max_length=9)
    lazy = data_sources.open_split(many_shards, "train", batch, seed=3).plan
    every = np.concatenate([shard.lengths[0] for shard in lazy.shards])
    too_long = int((every.max(axis=1) + 1 > 9).sum())
    assert lazy.num_too_long == too_long > 0
    assert lazy.num_examples == len(every) - too_long
