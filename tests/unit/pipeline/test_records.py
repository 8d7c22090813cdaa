import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import frames, records


def _write(path, *serialized: bytes) -> None:
    path.write_bytes(b"".join(map(frames.frame, serialized)))


@pytest.mark.parametrize("seed", range(20))
def test_a_record_is_the_example_that_protobuf_would_write(seed):
    draw = np.random.default_rng(seed)
    src = draw.integers(0, 2 ** int(draw.integers(3, 31)), draw.integers(0, 300))
    tgt = draw.integers(0, 70_000, draw.integers(0, 5))
    serialized = records.serialize(
        src.tolist(), tgt.tolist(), "é\t\0".encode(), [b"a", b""]
    )
    feature = tf.train.Example.FromString(serialized).features.feature
    assert list(feature["src_ids"].int64_list.value) == src.tolist()
    assert list(feature["tgt_ids"].int64_list.value) == tgt.tolist()
    assert list(feature["lengths"].int64_list.value) == [len(src), len(tgt)]
    assert list(feature["src_text"].bytes_list.value) == ["é\t\0".encode()]
    assert list(feature["tgt_text"].bytes_list.value) == [b"a", b""]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 2**31 - 1), max_size=40),
            st.lists(st.integers(0, 300), max_size=200),
        )
    )
)
def test_many_pairs_at_once_are_framed_as_one_by_one(pairs):
    src, tgt = [src for src, _ in pairs], [tgt for _, tgt in pairs]
    wanted = [frames.frame(records.serialize(*pair)) for pair in pairs]
    assert records.framed_pairs(src, tgt) == wanted


def test_training_records_hold_no_text():
    feature = tf.train.Example.FromString(records.serialize([4], [5])).features.feature
    assert set(feature) == {"src_ids", "tgt_ids", "lengths"}


def test_tensorflow_reads_the_frames_and_parses_many_records_at_once(tmp_path):
    path = tmp_path / "a.tfrecord"
    _write(path, records.serialize([7, 8], [9]), records.serialize([], [300]))
    serialized = tf.data.TFRecordDataset(str(path)).batch(9).get_single_element()
    src, tgt, lengths = records.parse_ids(serialized)
    assert src.to_list() == [[7, 8], []]
    assert tgt.to_list() == [[9], [300]]
    assert lengths.numpy().tolist() == [[2, 1], [0, 1]]


def test_a_record_of_another_schema_is_an_error_and_not_an_empty_pair():
    """FAULTS 28."""
    other = tf.train.Example()
    other.features.feature["inputs"].int64_list.value.append(4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="lengths"):
        records.parse_ids(tf.constant([other.SerializeToString()]))


def test_a_side_that_a_sidecar_cannot_count_is_refused():
    """FAULTS 19."""
    with pytest.raises(ValueError, match="65536 tokens"):
        records.serialize([4] * 65_536, [5])
    with pytest.raises(ValueError, match="65535 tokens"):
        records.framed_pairs([[4], [4] * 65_536], [[5], [5]])


def test_texts_come_back_with_all_references(tmp_path):
    path = tmp_path / "a.tfrecord"
    _write(path, records.serialize([1], [2], "ü".encode(), [b"x", b"y"]))
    assert records.read_texts([path]) == [("ü", ["x", "y"])]
