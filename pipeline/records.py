"""The record of a pair: how preprocessing writes it and how the pipeline reads it.

A record is a serialised `tf.train.Example` inside a TFRecord frame (`frames`):

    src_ids   int64 list      subwords of the source, without BOS, EOS or PAD
    tgt_ids   int64 list      subwords of the target, without BOS, EOS or PAD
    lengths   int64 [2]       their numbers; a FixedLen field, so that a file of another
                              schema is an error and not a stream of empty sequences
    label     int64           of --task=labels, instead of tgt_ids: the class; the
                              second of the lengths is 0
    label_shares  float list  where labels are soft: the share of each class
    src_text  bytes           the source as it was read: in valid and test, and in train
                              with --store_text
    tgt_text  bytes list      beside it every reference as it was read; the name of the
                              class of --task=labels

Writing goes past protobuf: serialising an Example from Python costs more than finding
its subwords did. The bytes are those of protobuf's wire format,
https://protobuf.dev/programming-guides/encoding.
"""

import functools
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline import frames, locations, sidecars

if TYPE_CHECKING:
    import tensorflow as tf

SRC_IDS = "src_ids"
TGT_IDS = "tgt_ids"
LENGTHS = "lengths"
SRC_TEXT = "src_text"
TGT_TEXT = "tgt_text"
LABEL = "label"
LABEL_SHARES = "label_shares"

_CACHED = 1 << 16
_BATCH_LABELS = 8192


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
    parts = [
        *_ids_entry(SRC_IDS, src_ids),
        *_ids_entry(TGT_IDS, tgt_ids),
        _lengths_entry(len(src_ids), len(tgt_ids)),
    ]
    if src_text is not None:
        parts.append(_bytes_entry(SRC_TEXT, [src_text]))
        parts.append(_bytes_entry(TGT_TEXT, tgt_texts))
    return _example(parts)


def framed_pairs(
    src_ids: Sequence[Sequence[int]], tgt_ids: Sequence[Sequence[int]]
) -> list[bytes]:
    """Returns `frames.frame(serialize(src, tgt))` for many pairs, in half the time.

    Raises:
        ValueError: If a side has more tokens than a sidecar can say.
    """
    if max(map(len, (*src_ids, *tgt_ids)), default=0) > sidecars.MAX_LENGTH:
        raise ValueError(f"a side has more than {sidecars.MAX_LENGTH} tokens")
    examples = []
    join, varint = b"".join, _ID_VARINTS.__getitem__
    for src, tgt in zip(src_ids, tgt_ids, strict=True):
        try:
            packed_src, packed_tgt = join(map(varint, src)), join(map(varint, tgt))
        except IndexError:
            packed_src, packed_tgt = _packed(src), _packed(tgt)
        features = join(
            (
                _ids_header(SRC_IDS, len(packed_src)),
                packed_src,
                _ids_header(TGT_IDS, len(packed_tgt)),
                packed_tgt,
                _lengths_entry(len(src), len(tgt)),
            )
        )
        examples.append(_example_header(len(features)) + features)
    return frames.frame_all(examples)


def serialize_labelled(
    src_ids: Sequence[int],
    label: int,
    shares: Sequence[float] = (),
    src_text: bytes | None = None,
    name: bytes = b"",
) -> bytes:
    """Returns a text and its label as the bytes of a `tf.train.Example`.

    Args:
        src_ids: Subwords of the text.
        label: Id of its class.
        shares: Of each class, where labels are soft.
        src_text: The text as it was read, if it is kept.
        name: Of the class, kept with the text.

    Raises:
        ValueError: If the text has more tokens than a sidecar can say.
    """
    parts = [
        *_ids_entry(SRC_IDS, src_ids),
        *_ids_entry(LABEL, (label,)),
        _lengths_entry(len(src_ids), 0),
    ]
    if shares:
        packed = struct.pack(f"<{len(shares)}f", *shares)
        parts.append(_map_entry(LABEL_SHARES, _field(2, _field(1, packed))))
    if src_text is not None:
        parts.append(_bytes_entry(SRC_TEXT, [src_text]))
        parts.append(_bytes_entry(TGT_TEXT, [name]))
    return _example(parts)


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


def parse_labels(
    serialized: "tf.Tensor", num_shares: int
) -> tuple["tf.RaggedTensor", "tf.Tensor", "tf.Tensor"]:
    """Returns the ids and labels of many records at once.

    Args:
        serialized: Serialised Examples, string [N].
        num_shares: Classes, where labels are soft; 0 where they are not.

    Returns:
        src_ids, ragged int64 [N, None]; labels, int32 [N], or shares, float32
        [N, num_shares]; and lengths, int64 [N, 2].
    """
    import tensorflow as tf

    features = {
        SRC_IDS: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
        LENGTHS: tf.io.FixedLenFeature([2], tf.int64),
    }
    if num_shares:
        features[LABEL_SHARES] = tf.io.FixedLenFeature([num_shares], tf.float32)
        parsed = tf.io.parse_example(serialized, features)
        return parsed[SRC_IDS], parsed[LABEL_SHARES], parsed[LENGTHS]
    features[LABEL] = tf.io.FixedLenFeature([], tf.int64)
    parsed = tf.io.parse_example(serialized, features)
    return parsed[SRC_IDS], tf.cast(parsed[LABEL], tf.int32), parsed[LENGTHS]


def read_ids(
    shard: locations.Location, batch_records: int
) -> Iterator[tuple["tf.RaggedTensor", "tf.RaggedTensor", np.ndarray]]:
    """Yields src_ids, tgt_ids (ragged int64) and lengths (int64 [N, 2]) of a shard."""
    import tensorflow as tf

    for serialized in tf.data.TFRecordDataset(str(shard)).batch(batch_records):
        src, tgt, lengths = parse_ids(serialized)
        yield src, tgt, lengths.numpy()


def read_label_ids(shard: locations.Location) -> np.ndarray:
    """Returns the label of every record of a shard, int64 [N]."""
    import tensorflow as tf

    labels = [
        tf.io.parse_example(serialized, {LABEL: tf.io.FixedLenFeature([1], tf.int64)})[
            LABEL
        ].numpy()[:, 0]
        for serialized in tf.data.TFRecordDataset(str(shard)).batch(_BATCH_LABELS)
    ]
    return np.concatenate(labels)


def read_texts(shards: Sequence[locations.Location]) -> list[tuple[str, list[str]]]:
    """Returns (source, references) of every record, in the order of the shards."""
    import tensorflow as tf

    texts = []
    for serialized in tf.data.TFRecordDataset([str(shard) for shard in shards]):
        feature = tf.train.Example.FromString(serialized.numpy()).features.feature
        source = feature[SRC_TEXT].bytes_list.value[0].decode()
        references = [text.decode() for text in feature[TGT_TEXT].bytes_list.value]
        texts.append((source, references))
    return texts


def _varint(value: int) -> bytes:
    """Returns a base-128 varint: seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_FIELD_1 = _varint(1 << 3 | 2)
# Ready for the ids of all but the largest vocabularies.
_ID_VARINTS = [_varint(value) for value in range(sidecars.MAX_LENGTH + 1)]


def _field(number: int, payload: bytes) -> bytes:
    """Returns a length-delimited field (wire type 2)."""
    return b"".join((_varint(number << 3 | 2), _varint(len(payload)), payload))


def _example(parts: Sequence[bytes]) -> bytes:
    """Returns Example(features=Features(feature=parts))."""
    features = b"".join(parts)
    return _example_header(len(features)) + features


@functools.lru_cache(_CACHED)
def _example_header(num_bytes: int) -> bytes:
    return _FIELD_1 + _varint(num_bytes)


def _ids_entry(name: str, ids: Sequence[int]) -> tuple[bytes, bytes]:
    """Returns Features.feature[name] = Feature(int64_list=ids), packed, in two parts.

    Raises:
        ValueError: If there are more ids than a sidecar can say.
    """
    packed = _packed(ids)
    return _ids_header(name, len(packed)), packed


def _packed(ids: Sequence[int]) -> bytes:
    """Returns ids as varints.

    Raises:
        ValueError: If there are more than a sidecar can say.
    """
    if len(ids) > sidecars.MAX_LENGTH:
        raise ValueError(f"{len(ids)} tokens, the most is {sidecars.MAX_LENGTH}")
    try:
        return b"".join([_ID_VARINTS[value] for value in ids])
    except IndexError:
        return b"".join(map(_varint, ids))


@functools.lru_cache(_CACHED)
def _ids_header(name: str, num_bytes: int) -> bytes:
    """Returns what stands before the packed ids of an entry."""
    payload = bytes(num_bytes)
    return _map_entry(name, _field(3, _field(1, payload))).removesuffix(payload)


@functools.lru_cache(_CACHED)
def _lengths_entry(num_src: int, num_tgt: int) -> bytes:
    packed = _varint(num_src) + _varint(num_tgt)
    return _map_entry(LENGTHS, _field(3, _field(1, packed)))


def _bytes_entry(name: str, values: Sequence[bytes]) -> bytes:
    """Returns Features.feature[name] = Feature(bytes_list=values)."""
    items = b"".join([_field(1, value) for value in values])
    return _map_entry(name, _field(1, items))


def _map_entry(name: str, feature: bytes) -> bytes:
    return _field(1, _field(1, name.encode()) + _field(2, feature))
