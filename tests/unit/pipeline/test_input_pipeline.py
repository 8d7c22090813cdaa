import itertools
import shutil

import pytest
import tensorflow as tf

from pipeline import (
    config,
    data_sources,
    exits,
    input_pipeline,
    locations,
    manifest,
    vocabulary,
)
from pipeline import plan as plan_lib
from tests import small_data


def _open(data_dir, **changes):
    settings = {"tokens_per_batch": 512, "num_buckets": 3, "pool_examples": 150}
    batch = config.BatchConfig(**(settings | changes))
    return data_sources.open_split(data_dir, "train", batch, seed=3)


def _ids(batches):
    return [[ids.numpy().tolist() for ids in batch] for batch in batches]


def test_two_epochs_hold_every_pair_twice(data_dir):
    source = _open(data_dir)
    found = []
    for batch in input_pipeline.batches(source, num_epochs=2):
        for src, tgt in zip(
            batch.src_ids.numpy(), batch.tgt_out_ids.numpy(), strict=True
        ):
            if tgt[0]:
                found.append((src[src > 2].tolist(), tgt[tgt > 2].tolist()))
    wanted = []
    for (shard,) in source.shards:
        for serialized in tf.data.TFRecordDataset(str(shard)):
            feature = tf.train.Example.FromString(serialized.numpy()).features.feature
            wanted.append(
                tuple(list(feature[k].int64_list.value) for k in ("src_ids", "tgt_ids"))
            )
    assert sorted(found) == sorted(wanted * 2)


def test_a_fresh_pipeline_from_any_batch_of_two_epochs_has_the_same_tail(data_dir):
    source = _open(data_dir)
    whole = _ids(input_pipeline.batches(source, num_epochs=2))
    cursor = source.plan.settle(plan_lib.START)
    assert len(source.plan.pools(0)) > 1
    assert 10 < len(whole) < 60
    for index in range(len(whole)):
        tail = _ids(input_pipeline.batches(_open(data_dir), cursor, num_epochs=2))
        assert tail == whole[index:], f"from {cursor}"
        cursor = source.plan.advance(cursor)
    assert cursor == (2, 0, 0)


def test_threads_and_prefetch_do_not_change_the_order(data_dir, monkeypatch):
    """FAULTS 34."""
    source = _open(data_dir)
    first = _ids(input_pipeline.batches(source, num_epochs=2))
    monkeypatch.setattr(input_pipeline, "PREFETCHED_BATCHES", 1)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    again = input_pipeline.batches(source, num_epochs=2).with_options(options)
    assert _ids(again) == first


def test_a_stream_knows_the_cursor_of_the_next_batch(data_dir):
    source = _open(data_dir)
    whole = _ids(input_pipeline.batches(source, num_epochs=2))
    stream = input_pipeline.Stream(source, plan_lib.START)
    for index in range(8):
        resumed = input_pipeline.Stream(source, stream.cursor)
        assert _ids([next(resumed)]) == whole[index : index + 1]
        resumed.close()
        next(stream)
    stream.close()


def test_one_pair_makes_one_batch_an_epoch(tmp_path, data_dir):
    """FAULTS 32."""
    model = data_dir / "shared.model"
    alone = small_data.make(tmp_path, count=1, num_shards=1, spm_model=model)
    source = _open(alone, tokens_per_batch=4096, num_buckets=16)
    batches = list(input_pipeline.batches(source, num_epochs=2))
    assert len(batches) == 2
    for batch in batches:
        assert (batch.tgt_out_ids.numpy()[:, 0] != vocabulary.PAD_ID).sum() == 1


def test_each_epoch_reads_its_own_segmentation_and_resumes_in_it(tmp_path):
    data_dir = small_data.make(tmp_path, subword_samples=3)
    entries = manifest.read(data_dir).pair_vocabularies()
    model = vocabulary.load(data_dir, entries).src
    source = _open(data_dir)
    ids, texts = [], []
    for epoch in range(4):
        epoch_ids = []
        stream = input_pipeline.Stream(source, plan_lib.Cursor(epoch, 0, 0))
        while stream.cursor.epoch == epoch:
            rows = next(stream).src_ids.numpy()
            epoch_ids += [row[row > 2].tolist() for row in rows if row[0] > 2]
        stream.close()
        ids.append(sorted(epoch_ids))
        texts.append(sorted(model.decode(epoch_ids)))
    assert texts[0] == texts[1] == texts[2]
    assert len(texts[0]) == 300
    assert ids[0] == ids[3]  # number e modulo 3
    assert ids[0] != ids[1] != ids[2]
    whole = _ids(input_pipeline.batches(source, num_epochs=4))
    cursor = source.plan.settle(plan_lib.START)
    for index in range(len(whole)):
        if index % 7 == 0:
            tail = _ids(input_pipeline.batches(_open(data_dir), cursor, num_epochs=4))
            assert tail == whole[index:], f"from {cursor}"
        cursor = source.plan.advance(cursor)


@pytest.fixture(scope="module")
def eight_shards(tmp_path_factory):
    return small_data.make(tmp_path_factory.mktemp("eight"), num_shards=8)


@pytest.mark.parametrize("num_readers", [2, 4, 8])
def test_readers_of_lanes_have_the_batches_of_one(eight_shards, num_readers):
    """FAULTS 33 and 35: the global batches do not depend on who reads them."""

    def read(reader):
        source = _open(eight_shards, plan_lanes=8, tokens_per_batch=2048)
        return _ids(input_pipeline.batches(source, num_epochs=2, reader=reader))

    alone = read(input_pipeline.ALONE)
    shares = [read(input_pipeline.Reader(n, num_readers)) for n in range(num_readers)]
    for whole, *parts in zip(alone, *shares, strict=True):
        joined = [list(itertools.chain(*side)) for side in zip(*parts, strict=True)]
        assert joined == whole


def test_a_reader_opens_only_its_own_shards(eight_shards, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(eight_shards, own)
    source = _open(own, plan_lanes=8, tokens_per_batch=2048)
    for shard in range(4, 8):  # the lanes of the other reader
        source.shards[shard][0].unlink()
    reader = input_pipeline.Reader(0, 2)
    assert list(input_pipeline.batches(source, num_epochs=1, reader=reader))


def test_readers_that_do_not_divide_the_lanes_are_refused(eight_shards):
    """FAULTS 31."""
    pool = _open(eight_shards, plan_lanes=8, tokens_per_batch=2048).plan.pool(0, 0)
    with pytest.raises(ValueError, match="--plan_lanes=8 does not suit 3 readers"):
        input_pipeline.Reader(0, 3).part(pool)


def test_a_shard_replaced_by_a_good_one_is_noticed(own_data_dir):
    """FAULTS 36: same lengths, whole checksums, other words."""
    source = _open(own_data_dir, pool_examples=1)
    shard = source.shards[int(source.plan.pools(0)[-1][0][0])][0]
    stream = input_pipeline.Stream(source, plan_lib.START)
    next(stream)
    aside = shard.with_suffix(".aside")
    aside.write_bytes(shard.read_bytes())
    aside.replace(shard)
    with pytest.raises(exits.Refusal, match="or replaced while it was read") as error:
        for _ in range(source.plan.num_batches(0)):
            next(stream)
    assert shard.name in str(error.value)
    stream.close()


def test_the_memory_of_reading_ahead_is_that_of_pools_and_not_of_the_corpus(tmp_path):
    small = small_data.make(tmp_path / "small", count=400, num_shards=4)
    large = small_data.make(tmp_path / "large", count=4000, num_shards=40)
    estimates = [
        input_pipeline.read_ahead_bytes(_open(data, pool_examples=200))
        for data in (small, large)
    ]
    assert estimates[1] == pytest.approx(estimates[0], rel=0.1)
    bigger = input_pipeline.read_ahead_bytes(_open(large, pool_examples=4000))
    assert bigger > 4 * estimates[1]


def test_a_data_directory_on_a_remote_file_system_gives_the_same_batches(data_dir):
    """TensorFlow's own `ram://` stands for `gs://`: both go through tf.io.gfile."""
    remote = "ram://bucket/data"
    tf.io.gfile.makedirs(remote)
    for path in data_dir.iterdir():
        with tf.io.gfile.GFile(f"{remote}/{path.name}", "wb") as file:
            file.write(path.read_bytes())
    there = locations.locate(remote)
    batches = input_pipeline.batches(_open(there), num_epochs=1)
    assert _ids(batches) == _ids(input_pipeline.batches(_open(data_dir), num_epochs=1))
    entries = manifest.read(there).pair_vocabularies()
    assert vocabulary.load(there, entries).src.size == entries[0].size
    tf.io.gfile.remove(f"{remote}/train-00001-of-00003.tfrecord")
    with pytest.raises(
        exits.Refusal, match="train-00001-of-00003.tfrecord: is missing"
    ):
        _open(there)


def test_a_remote_directory_that_is_not_there_is_refused():
    for url in ("ram://nowhere/data", "nosuch://bucket/data"):
        with pytest.raises(exits.Refusal, match=url) as error:
            manifest.read(locations.locate(url))
        assert error.value.code == exits.MISSING_INPUT
