import json

import numpy as np
import pytest
import tensorflow as tf

from pipeline import (
    config,
    data_sources,
    exits,
    frames,
    input_pipeline,
    manifest,
    sidecars,
)
from pipeline import plan as plan_lib
from tests import damage


def _open(data_dir):
    batch = config.BatchConfig(tokens_per_batch=512, num_buckets=3, pool_examples=150)
    return data_sources.open_split(data_dir, "train", batch, seed=3)


def _refused(source) -> exits.Refusal:
    """Reads an epoch, which must be refused as bad data."""
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
    damage.flip_a_bit(shard)
    message = str(_refused(_open(own_data_dir)))
    assert "train-00001-of-00003.tfrecord: record " in message


def test_a_shard_changed_under_the_plan_is_found(own_data_dir):
    """FAULTS 26 and 36: whole records, as many bytes, in another order."""
    shard = own_data_dir / "train-00001-of-00003.tfrecord"
    framed = []
    data = shard.read_bytes()
    while data:
        size = 16 + int.from_bytes(data[:8], "little")
        framed.append(data[:size])
        data = data[size:]
    shard.write_bytes(b"".join(reversed(framed)))
    assert "not the one that was planned" in str(_refused(_open(own_data_dir)))


def test_a_record_that_miscounts_itself_is_found(own_data_dir):
    """FAULTS 26: ids and sidecar agree, the record's own lengths do not."""
    shard = own_data_dir / "train-00001-of-00003.tfrecord"
    framed = []
    for serialized in tf.data.TFRecordDataset(str(shard)):
        example = tf.train.Example.FromString(serialized.numpy())
        lengths = example.features.feature["lengths"].int64_list.value
        lengths[0], lengths[1] = lengths[1] + 1, lengths[0]
        framed.append(frames.frame(example.SerializeToString()))
    shard.write_bytes(b"".join(framed))
    source = _open_unchecked(own_data_dir)
    assert "differ from their sidecars" in str(_refused(source))


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
    assert "train-00002-of-00003.tfrecord: is gone" in str(_refused(source))


def test_a_sidecar_with_other_lengths_is_found(own_data_dir):
    """FAULTS 26."""
    sidecar = sidecars.lengths_path(own_data_dir / "train-00000-of-00003.tfrecord")
    lengths = np.fromfile(sidecar, "<u2").reshape(-1, 2)
    sidecar.write_bytes(lengths[::-1].astype("<u2").tobytes())
    assert "differ from their sidecars" in str(_refused(_open(own_data_dir)))
