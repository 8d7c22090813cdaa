import json

import numpy as np
import pytest
import tensorflow as tf

from pipeline import (
    config,
    exits,
    input_pipeline,
    manifest,
    records,
    vocabulary,
)
from pipeline import plan as plan_lib
from tests import small_data


def _open(data_dir, **changes):
    settings = {"tokens_per_batch": 512, "num_buckets": 3, "pool_examples": 150}
    batch = config.BatchConfig(**(settings | changes))
    return input_pipeline.open_split(data_dir, "train", batch, seed=3)


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
    for shard in source.shards:
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


def test_longer_pairs_are_left_out_and_counted(data_dir):
    plan = _open(data_dir, max_length=9).plan
    every = np.concatenate(_open(data_dir).plan.lengths)
    assert plan.num_too_long == (every.max(axis=1) > 9).sum() > 0
    assert plan.num_examples + plan.num_too_long == len(every)


def test_a_max_length_that_leaves_nothing_is_refused(data_dir):
    with pytest.raises(exits.Refusal, match="--max_length=2 leaves no train pair"):
        _open(data_dir, max_length=2)


def _read_all(data_dir) -> exits.Refusal:
    source = _open(data_dir)
    stream = input_pipeline.Stream(source, plan_lib.START)
    with pytest.raises(exits.Refusal) as error:
        for _ in range(source.plan.num_batches(0)):
            next(stream)
    stream.close()
    assert error.value.code == exits.BAD_DATA
    return error.value


def test_a_flipped_bit_in_a_shard_is_found_with_file_and_record(own_data_dir):
    """FAULTS 23."""
    shard = own_data_dir / "train-00001-of-00003.tfrecord"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    message = str(_read_all(own_data_dir))
    assert "train-00001-of-00003.tfrecord: record " in message


def test_a_shard_changed_under_the_plan_is_found(own_data_dir):
    """FAULTS 26 and 36: whole records, as many bytes, in another order."""
    shard = own_data_dir / "train-00001-of-00003.tfrecord"
    frames = []
    data = shard.read_bytes()
    while data:
        size = 16 + int.from_bytes(data[:8], "little")
        frames.append(data[:size])
        data = data[size:]
    shard.write_bytes(b"".join(reversed(frames)))
    assert "not the one that was planned" in str(_read_all(own_data_dir))


def test_a_record_that_miscounts_itself_is_found(own_data_dir):
    """FAULTS 26: ids and sidecar agree, the record's own lengths do not."""
    shard = own_data_dir / "train-00001-of-00003.tfrecord"
    frames = []
    for serialized in tf.data.TFRecordDataset(str(shard)):
        example = tf.train.Example.FromString(serialized.numpy())
        lengths = example.features.feature["lengths"].int64_list.value
        lengths[0], lengths[1] = lengths[1] + 1, lengths[0]
        frames.append(records.frame(example.SerializeToString()))
    shard.write_bytes(b"".join(frames))
    source = _open_unchecked(own_data_dir)
    stream = input_pipeline.Stream(source, plan_lib.START)
    with pytest.raises(exits.Refusal, match="differ from their sidecars"):
        for _ in range(source.plan.num_batches(0)):
            next(stream)
    stream.close()


def _open_unchecked(data_dir):
    """Opens a data directory whose damaged shard may have another size."""
    shard = data_dir / "train-00001-of-00003.tfrecord"
    content = json.loads((data_dir / manifest.FILENAME).read_text())
    content["splits"]["train"]["shards"][1]["bytes"] = shard.stat().st_size
    (data_dir / manifest.FILENAME).write_text(json.dumps(content))
    return _open(data_dir)


def test_a_shard_that_vanishes_is_named(own_data_dir):
    """FAULTS 25, at run time."""
    source = _open(own_data_dir)
    (own_data_dir / "train-00002-of-00003.tfrecord").unlink()
    stream = input_pipeline.Stream(source, plan_lib.START)
    with pytest.raises(exits.Refusal, match="train-00002-of-00003.tfrecord: is gone"):
        for _ in range(source.plan.num_batches(0)):
            next(stream)
    stream.close()


def test_a_sidecar_with_other_lengths_is_found(own_data_dir):
    """FAULTS 26."""
    sidecar = records.lengths_path(own_data_dir / "train-00000-of-00003.tfrecord")
    lengths = np.fromfile(sidecar, "<u2").reshape(-1, 2)
    sidecar.write_bytes(lengths[::-1].astype("<u2").tobytes())
    assert "differ from their sidecars" in str(_read_all(own_data_dir))


def test_one_pair_makes_one_batch_an_epoch(tmp_path, own_data_dir):
    """FAULTS 32."""
    source = _open(own_data_dir, tokens_per_batch=4096, num_buckets=1)
    assert source.plan.num_batches(0) >= 1
    split = manifest.read(own_data_dir).split("train")
    assert source.plan.num_examples == split.num_records


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
