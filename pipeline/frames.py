"""TFRecord's frames: what stands around a record in a shard, and what is wrong with it.

    length     uint64, little-endian
    checksum   of the length: CRC-32C, masked
    data
    checksum   of the data

https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

import functools
import struct
from collections.abc import Sequence

import google_crc32c
import numpy as np

from pipeline import locations

_CRC_MASK_DELTA = 0xA282EAD8
_CACHED = 1 << 16


def frame(data: bytes) -> bytes:
    """Returns the data inside a TFRecord frame, checksums included."""
    return b"".join((_header(len(data)), data, _masked_crc(data)))


def frame_all(records: Sequence[bytes]) -> list[bytes]:
    """Returns `frame(data)` for many records, the checksums masked together."""
    crcs = np.fromiter(map(google_crc32c.value, records), np.uint32, len(records))
    masked = ((crcs >> 15) | (crcs << 17)) + np.uint32(_CRC_MASK_DELTA)
    ends = masked.astype("<u4").tobytes()
    return [
        _header(len(data)) + data + ends[4 * number : 4 * number + 4]
        for number, data in enumerate(records)
    ]


def locate_damage(shard: locations.Location) -> str | None:
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


@functools.lru_cache(_CACHED)
def _header(num_bytes: int) -> bytes:
    length = struct.pack("<Q", num_bytes)
    return length + _masked_crc(length)
