"""Sidecars: two little-endian uint16 a record, the lengths of its sides.

Each shard has one, from which whole epochs are planned without reading a shard.
"""

import pathlib
from typing import Any, overload

import numpy as np

from pipeline import exits, locations

MAX_LENGTH = np.iinfo(np.uint16).max  # what can be said


@overload
def lengths_path(shard: pathlib.Path) -> pathlib.Path: ...


@overload
def lengths_path(shard: locations.Location) -> locations.Location: ...


def lengths_path(shard: locations.Location) -> locations.Location:
    """Returns where the sidecar of a shard is."""
    return shard.with_suffix(".lengths")


def read_lengths(shard: locations.Location, num_records: int) -> np.ndarray:
    """Returns the token counts of a shard's records, uint16 [N, 2]: source, target.

    Raises:
        exits.Refusal: If the sidecar does not have `num_records` rows.
    """
    path = lengths_path(shard)
    content = path.read_bytes()
    if len(content) != 4 * num_records:
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{path}: {len(content)} bytes, the manifest says {num_records} records of "
            "4; build the data directory again, with --overwrite",
        )
    return np.frombuffer(content, "<u2").reshape(-1, 2)


class Sidecar:
    """The token counts of a shard's records, read anew each time they are asked for."""

    def __init__(self, shard: locations.Location, num_records: int) -> None:
        """Args: shard: its path. num_records: how many it has."""
        self._shard = shard
        self._num_records = num_records

    def __len__(self) -> int:
        """Returns the number of records."""
        return self._num_records

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns what `read_lengths` does."""
        del copy  # it is always new
        lengths = read_lengths(self._shard, self._num_records)
        return lengths if dtype is None else lengths.astype(dtype)
