import re

import pytest
import tensorflow as tf

from pipeline import frames


def test_tensorflow_reads_what_is_framed_one_by_one_and_together(tmp_path):
    records = [b"", b"a", bytes(range(256)) * 9]
    framed = frames.frame_all(records)
    assert framed == [frames.frame(record) for record in records]
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"".join(framed))
    assert [read.numpy() for read in tf.data.TFRecordDataset(str(path))] == records


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data, None),
        (lambda data: data[:-1], "record 2: the file ends inside it"),
        (lambda data: data[: 2 * len(data) // 3 + 5], "record 2: .* inside its header"),
        (lambda data: b"\x01" + data[1:], "record 0: its length"),
        (
            lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],
            "record 0: its data",
        ),
        (lambda data: b"", None),
    ],
)
def test_damage_is_located(tmp_path, damage, message):
    path = tmp_path / "a.tfrecord"
    whole = frames.frame(b"three times the same") * 3
    path.write_bytes(damage(whole))
    found = frames.locate_damage(path)
    if message is None:
        assert found is None
    else:
        assert found is not None
        assert re.match(message, found)
