"""The record of a pair: how preprocessing writes it and how the pipeline reads it.

A record is a serialised `tf.train.Example` inside a TFRecord frame:

    src_ids   int64 list      subwords of the source, without BOS, EOS or PAD
    tgt_ids   int64 list      subwords of the target, without BOS, EOS or PAD
    lengths   int64 [2]       their numbers; a FixedLen field, so that a file of another
                              schema is an error and not a stream of empty sequences
    src_text  bytes           valid and test only: the source as it was read
    tgt_text  bytes list      valid and test only: every reference as it was read

Each shard has a sidecar with two little-endian uint16 a record, the same lengths, from
which whole epochs are planned without reading a shard.

Writing goes past protobuf: serialising an Example from Python costs more than finding
its subwords did. The bytes are those of protobuf's wire format,
https://protobuf.dev/programming-guides/encoding, and of TFRecord's frame,
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

import functools
import pathlib
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

from pipeline import exits

if TYPE_CHECKING:
    import tensorflow as tf

SRC_IDS = "src_ids"
TGT_IDS = "tgt_ids"
LENGTHS = "lengths"
SRC_TEXT = "src_text"
TGT_TEXT = "tgt_text"

MAX_LENGTH = np.iinfo(np.uint16).max  # what a sidecar can say
_CRC_MASK_DELTA = 0xA282EAD8


def serialize(
    src_ids: Sequence[int],
    tgt_ids: Sequence[int],
    src_text: bytes | None = None,
    tgt_texts: Sequence[bytes] = (),
) -> bytes:
    """Returns the pair as the bytes of a `tf.train.Example`.

    Raises:
        ValueError: If a side has more tokens than a sidecar can say.
    """
    num_src, num_tgt = len(src_ids), len(tgt_ids)
    if max(num_src, num_tgt) > MAX_LENGTH:
        raise ValueError(f"{max(num_src, num_tgt)} tokens, the most is {MAX_LENGTH}")
    entries = [
        _int64_entry(SRC_IDS, src_ids),
        _int64_entry(TGT_IDS, tgt_ids),
        _int64_entry(LENGTHS, (num_src, num_tgt)),
    ]
    if src_text is not None:
        entries.append(_bytes_entry(SRC_TEXT, [src_text]))
        entries.append(_bytes_entry(TGT_TEXT, tgt_texts))
    return _field(1, b"".join(entries))


def frame(data: bytes) -> bytes:
    """Returns the data inside a TFRecord frame, checksums included."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked_crc(length), data, _masked_crc(data)))


def lengths_path(shard: pathlib.Path) -> pathlib.Path:
    """Returns where the sidecar of a shard is."""
    return shard.with_suffix(".lengths")


def read_lengths(shard: pathlib.Path, num_records: int) -> np.ndarray:
    """Returns the token counts of a shard's records, uint16 [N, 2]: source, target.

    Raises:
        exits.Refusal: If the sidecar does not have `num_records` rows.
    """
    path = lengths_path(shard)
    lengths = np.fromfile(path, dtype="<u2")
    if lengths.size != 2 * num_records or path.stat().st_size != 4 * num_records:
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{path}: {path.stat().st_size} bytes, the manifest says "
            f"{num_records} records of 4; build the data directory again",
        )
    return lengths.reshape(-1, 2)


def parse_ids(
    serialized: "tf.Tensor",
) -> tuple["tf.RaggedTensor", "tf.RaggedTensor", "tf.Tensor"]:
    """Returns the ids of many records at once.

    Args:
        serialized: Serialised Examples, string [N].

    Returns:
        src_ids and tgt_ids, ragged int64 [N, None], and lengths, int64 [N, 2].
    """
    import tensorflow as tf

    parsed = tf.io.parse_example(
        serialized,
        {
            SRC_IDS: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
            TGT_IDS: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
            LENGTHS: tf.io.FixedLenFeature([2], tf.int64),
        },
    )
    return parsed[SRC_IDS], parsed[TGT_IDS], parsed[LENGTHS]


def read_ids(
    shard: pathlib.Path, batch_records: int
) -> Iterator[tuple["tf.RaggedTensor", "tf.RaggedTensor", np.ndarray]]:
    """Yields src_ids, tgt_ids (ragged int64) and lengths (int64 [N, 2]) of a shard."""
    import tensorflow as tf

    for serialized in tf.data.TFRecordDataset(str(shard)).batch(batch_records):
        src, tgt, lengths = parse_ids(serialized)
        yield src, tgt, lengths.numpy()


def read_texts(shards: Sequence[pathlib.Path]) -> list[tuple[str, list[str]]]:
    """Returns (source, references) of every record, in the order of the shards."""
    import tensorflow as tf

    texts = []
    for serialized in tf.data.TFRecordDataset([str(shard) for shard in shards]):
        feature = tf.train.Example.FromString(serialized.numpy()).features.feature
        source = feature[SRC_TEXT].bytes_list.value[0].decode()
        references = [text.decode() for text in feature[TGT_TEXT].bytes_list.value]
        texts.append((source, references))
    return texts


def locate_damage(shard: pathlib.Path) -> str | None:
    """Returns what is wrong with a shard's frames and at which record, or None.

    Reads the shard from its beginning; meant for the message after a read has failed.
    """
    with shard.open("rb") as file:
        number = 0
        while header := file.read(12):
            if len(header) < 12:
                return f"record {number}: the file ends inside its header"
            (length,) = struct.unpack("<Q", header[:8])
            if _masked_crc(header[:8]) != header[8:]:
                return f"record {number}: its length does not match its checksum"
            data, crc = file.read(length), file.read(4)
            if len(data) < length or len(crc) < 4:
                return f"record {number}: the file ends inside it"
            if _masked_crc(data) != crc:
                return f"record {number}: its data does not match its checksum"
            number += 1
    return None


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + _CRC_MASK_DELTA) & 0xFFFFFFFF)


@functools.cache
def _varint(value: int) -> bytes:
    """Returns a base-128 varint: seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    """Returns a length-delimited field (wire type 2)."""
    return b"".join((_varint(number << 3 | 2), _varint(len(payload)), payload))


def _int64_entry(name: str, values: Sequence[int]) -> bytes:
    """Returns Features.feature[name] = Feature(int64_list=values), packed."""
    packed = _field(1, b"".join(map(_varint, values)))
    return _map_entry(name, _field(3, packed))


def _bytes_entry(name: str, values: Sequence[bytes]) -> bytes:
    """Returns Features.feature[name] = Feature(bytes_list=values)."""
    items = b"".join(_field(1, value) for value in values)
    return _map_entry(name, _field(1, items))


def _map_entry(name: str, feature: bytes) -> bytes:
    return _field(1, _field(1, name.encode()) + _field(2, feature))
