"""Pairs that occur twice: within the training split, and in train and valid or test.

Rows whose text is kept get two 64-bit hashes each, of the source and of the whole pair,
and one more for each of several references.
Those of training rows go to partition files by the hash of their source, so that rows
that could be the same are in one file, and one partition is in memory at a time: the
corpus may be larger than the memory. What comes out is a mark for each row.

With N rows about N²/2⁶⁵ pairs are taken for duplicates that are none: one in a thousand
builds of 200 million rows loses one.
"""

import hashlib
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pipeline import files, manifest
from preprocessing import chunks, cleaning, config, rows, splitting

KEEP, IS_DUPLICATE, IS_OVERLAP = 0, 1, 2

_PARTITION_BYTES = 16 << 20
_MAX_PARTITIONS = 256
_DEFAULT_PARTITIONS = 64
_TOGETHER = 100  # rows that are cleaned together first, one by one if that fails
WHOLE, PAIR = 1, 2  # bits of what a fingerprint is of: all of a row, one of its pairs
_FINGERPRINT = np.dtype(
    [("src", "<u8"), ("pair", "<u8"), ("row", "<u8"), ("split", "u1"), ("of", "u1")]
)


def fingerprinter(build: config.BuildConfig) -> "Fingerprinter":
    """Returns what `workers.Pool.map` calls for each chunk."""
    return Fingerprinter(build)


class Fingerprinter:
    """Hashes the rows of a chunk."""

    def __init__(self, build: config.BuildConfig) -> None:
        self._build = build

    def __call__(self, chunk: chunks.Chunk) -> tuple[int, np.ndarray]:
        """Returns the number of rows, and fingerprints of those whose text is kept.

        A row with several references, of which training makes a pair each, has one as a
        whole and one for each pair.
        """
        found = []
        read = chunk.rows()
        splits = splitting.splits_of(chunk, read, self._build)
        kept = _kept(read, splits, self._build.cleaning)
        for number, (row, split) in enumerate(zip(read, splits, strict=True)):
            if not kept[number] or not self._is_written(chunk, row, split):
                continue  # it goes for a reason of its own, so nothing repeats it
            src = row.src.strip()
            texts = dict.fromkeys(map(bytes.strip, row.references))
            source = _hash(src)
            place = (chunk.first_row + number, manifest.SPLITS.index(split))
            whole = _hash(b"\x1f".join((src, *sorted(texts))))
            if len(texts) == 1:
                found.append((source, whole, *place, WHOLE | PAIR))
                continue
            found.append((source, whole, *place, WHOLE))
            pairs = [_hash(b"\x1f".join((src, text))) for text in texts]
            found += [(source, pair, *place, PAIR) for pair in pairs]
        return chunk.size, np.array(found, _FINGERPRINT)

    def _is_written(self, chunk: chunks.Chunk, row: rows.Row, split: str) -> bool:
        """Returns whether the weight of a row's corpus lets it be there."""
        if split != "train" or chunk.weight == 1:
            return True
        return splitting.copies(chunk, row, self._build) > 0


def _kept(
    read: Sequence[rows.Row], splits: Sequence[str], bounds: config.CleaningConfig
) -> list[bool]:
    """Returns of each row whether cleaning keeps its text."""
    kept: list[bool] = []
    for begin in range(0, len(read), _TOGETHER):
        some = read[begin : begin + _TOGETHER]
        if cleaning.clean_together(some, bounds) is not None:
            kept += [True] * len(some)
            continue
        for row, split in zip(some, splits[begin:], strict=False):
            cleaned = cleaning.clean_text(row, bounds, keep=split != "train")
            kept.append(not isinstance(cleaned, str))
    return kept


class Marks:
    """Which training rows are left out, by row number.

    Attributes:
        overlap: For valid and test, how many training pairs are in them: `pairs`, and
            of how many rows at least the source is: `sources`.
    """

    def __init__(
        self, rows: np.ndarray | None = None, overlap: dict[str, Any] | None = None
    ) -> None:
        """Args: rows: uint8 [N], or None where every row is kept. overlap: counts."""
        self._rows = rows
        self.overlap = overlap or {}

    def of(self, chunk: chunks.Chunk) -> bytes | None:
        """Returns a mark for each row of a chunk, or None where all are kept."""
        if self._rows is None:
            return None
        known = self._rows[chunk.first_row : chunk.first_row + chunk.size]
        if not known.any():
            return None
        marks = np.zeros(chunk.size, np.uint8)
        marks[: len(known)] = known  # rows after the last one that could be read
        return marks.tobytes()


def find(
    fingerprints: Iterable[np.ndarray],
    folder: pathlib.Path,
    bounds: config.CleaningConfig,
    num_rows: int | None,
) -> Marks:
    """Returns the marks of all rows.

    Args:
        fingerprints: Of all chunks, in order.
        folder: An empty one for partitions and marks; remove it when they are used.
        bounds: What makes two pairs the same, and what is left out.
        num_rows: How many rows there are, if that is known.
    """
    count = _DEFAULT_PARTITIONS
    if num_rows is not None:
        needed = num_rows * _FINGERPRINT.itemsize // _PARTITION_BYTES + 1
        count = min(needed, _MAX_PARTITIONS)
    paths = [folder / f"part-{index}" for index in range(count)]
    held_out: list[np.ndarray] = []
    last_row = _partition(fingerprints, paths, held_out)
    marks = _marks_on_disk(folder / "marks", last_row + 2)
    held = np.concatenate([np.zeros(0, _FINGERPRINT), *held_out])
    totals = {name: {"pairs": 0, "sources": 0} for name in manifest.SPLITS[1:]}
    for path in paths:
        _resolve(np.fromfile(path, _FINGERPRINT), held, bounds, marks, totals)
        path.unlink()
    return Marks(marks, totals)


def _marks_on_disk(path: pathlib.Path, size: int) -> np.ndarray:
    """Returns zeros in a file, uint8 [size].

    The disk has room for all of them from now on: one that is full in the midst of a
    mapped file is a SIGBUS, which nothing can tell.
    """
    with files.named(path), path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return np.memmap(path, np.uint8, "r+", shape=(size,))


def _partition(
    fingerprints: Iterable[np.ndarray],
    paths: list[pathlib.Path],
    held_out: list[np.ndarray],
) -> int:
    """Deals training fingerprints to files, collects the others; returns the last row.

    The files are opened for each write: there may be more than may be open at once.
    """
    last_row = -1
    waiting: list[np.ndarray] = []
    size = 0
    for path in paths:
        path.touch()
    for part in fingerprints:
        if not len(part):
            continue
        last_row = int(part["row"][-1])
        held_out.append(part[part["split"] != 0])
        waiting.append(part[part["split"] == 0])
        size += waiting[-1].nbytes
        if size > _PARTITION_BYTES:
            _deal(waiting, paths)
            waiting, size = [], 0
    _deal(waiting, paths)
    return last_row


def _deal(waiting: list[np.ndarray], paths: list[pathlib.Path]) -> None:
    if not waiting:
        return
    together = np.concatenate(waiting)
    home = together["src"] % np.uint64(len(paths))
    for index, path in enumerate(paths):
        with files.named(path), path.open("ab") as file:
            file.write(together[home == index].tobytes())


def _resolve(
    part: np.ndarray,
    held: np.ndarray,
    bounds: config.CleaningConfig,
    marks: np.ndarray,
    totals: dict[str, dict[str, int]],
) -> None:
    """Marks the rows of a partition and counts the overlap.

    A row repeats another one that came before if that has all of it, as a whole or as
    one of its pairs. It overlaps if one of its pairs is held out.
    """
    key = "pair" if bounds.same_by == "pair" else "src"
    is_whole, is_pair = part["of"] & WHOLE > 0, part["of"] & PAIR > 0
    if bounds.dedup:
        order = np.lexsort((part["row"], part[key]))
        ordered = part[order]
        again = (ordered[key][1:] == ordered[key][:-1]) & is_whole[order][1:]
        marks[ordered["row"][1:][again]] = IS_DUPLICATE
    for index, name in enumerate(manifest.SPLITS[1:], start=1):
        there = held[held["split"] == index]
        pairs = np.isin(part["pair"], there["pair"]) & is_pair
        sources = np.isin(part["src"], there["src"]) & is_whole
        totals[name]["pairs"] += int(pairs.sum())
        totals[name]["sources"] += int(sources.sum())
        if bounds.drop_overlap:
            marks[part["row"][pairs if key == "pair" else sources]] = IS_OVERLAP


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
