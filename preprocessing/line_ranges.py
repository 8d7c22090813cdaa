r"""Byte ranges of text files: many processes read one file and agree on its lines.

A line belongs to the range in which it begins, though it may end in a later one. A
first pass counts the lines of each range and notes where every 2,000th of them begins,
its landmarks; sums over the ranges before give every landmark its number in the file:

    bytes        0 ........ 64 MiB ........ 128 MiB ....
    lines        710,000    689,113         ...
    landmarks    0, 2000 .. 710,000, 712,000 ..

So a chunk, lines 4,000,000 to 4,002,000 say, is found by a seek to the landmark before
it, and by reading at most 1,999 lines too many.
"""

import codecs
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipeline import locations
from preprocessing import lines

RANGE_BYTES = 64 << 20
LANDMARK_LINES = 2_000
_BLOCK_BYTES = 1 << 20
_TAIL_BYTES = 1 << 14  # of a line that ends in a later range
_NEWLINE = 0x0A


class Range(NamedTuple):
    """The lines that begin in a range of a file.

    Attributes:
        begin: The range's first byte.
        landmarks: Where its lines 0, 2,000, 4,000 ... begin, int64 [L].
        tally: What they are.
    """

    begin: int
    landmarks: np.ndarray
    tally: lines.Tally


class Index(NamedTuple):
    """Where the lines of a file are.

    Attributes:
        numbers: Of the landmarks' lines in the file, from 0, ascending, int64 [L].
        offsets: Where they begin, in bytes, int64 [L].
        size: Bytes of the file.
    """

    numbers: np.ndarray
    offsets: np.ndarray
    size: int


class Span(NamedTuple):
    """Some lines of a file.

    Attributes:
        begin: Where a line begins, in bytes.
        end: Where one ends, at or after the last of them.
        skip: Lines between `begin` and the first of them.
        num_lines: How many there are.
    """

    begin: int
    end: int
    skip: int
    num_lines: int


def ranges(size: int, range_bytes: int | None = None) -> list[tuple[int, int]]:
    """Returns the ranges of a file of so many bytes.

    >>> ranges(250, 100)
    [(0, 100), (100, 200), (200, 250)]
    """
    step = range_bytes or RANGE_BYTES
    return [(begin, min(begin + step, size)) for begin in range(0, size, step)]


def survey(
    path: locations.Location,
    begin: int,
    end: int,
    *,
    encoding: str,
    max_bytes: int,
    landmark_lines: int = LANDMARK_LINES,
) -> Range:
    """Reads the lines that begin in [begin, end) once.

    Args:
        path: A file for which `lines.is_splittable`.
        begin: The range's first byte.
        end: One more than its last.
        encoding: Of the file.
        max_bytes: Longer lines are not decoded.
        landmark_lines: Lines from one landmark to the next.
    """
    landmarks: list[np.ndarray] = []

    def watched() -> Iterator[bytes]:
        number, begins = 0, True
        for offset, block in _raw(path, begin, end):
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE) + 1
            starts = ends[ends < len(block)] + offset
            if begins:
                starts = np.append(offset, starts)
            landmarks.append(starts[-number % landmark_lines :: landmark_lines])
            number += len(starts)
            begins = block.endswith(b"\n")
            yield block

    mark = codecs.BOM_UTF8 if begin == 0 else b""
    found = lines.split(watched(), max_bytes, mark=mark)
    tally = lines.count(found, max_bytes, encoding)
    return Range(
        begin, np.concatenate([np.zeros(0, np.int64), *landmarks]).astype(int), tally
    )


def index(
    found: Sequence[Range], size: int, landmark_lines: int = LANDMARK_LINES
) -> Index:
    """Returns the index of a file.

    Args:
        found: All its ranges, in order.
        size: Bytes of the file.
        landmark_lines: As they were surveyed.
    """
    counts = [part.tally.lines for part in found]
    firsts = itertools.accumulate(counts, initial=0)
    numbers = [
        first + landmark_lines * np.arange(len(part.landmarks))
        for first, part in zip(firsts, found, strict=False)
    ]
    nothing = np.zeros(0, np.int64)
    return Index(
        np.concatenate([nothing, *numbers]),
        np.concatenate([nothing, *(part.landmarks for part in found)]),
        size,
    )


def span(where: Index, first: int, count: int) -> Span:
    """Returns where some lines are.

    Args:
        where: The index of their file.
        first: Number of the first of them, from 0.
        count: How many there are, at least 1; the file has them.
    """
    before = int(np.searchsorted(where.numbers, first, side="right")) - 1
    after = int(np.searchsorted(where.numbers, first + count))
    return Span(
        begin=int(where.offsets[before]),
        end=int(where.offsets[after]) if after < len(where.offsets) else where.size,
        skip=first - int(where.numbers[before]),
        num_lines=count,
    )


def read(path: locations.Location, where: Span, max_bytes: int) -> list[bytes]:
    """Returns the lines of a span; longer ones than `max_bytes` are cut as ever."""
    mark = codecs.BOM_UTF8 if where.begin == 0 else b""
    content = (block for _, block in _raw(path, where.begin, where.end, exact=True))
    found = itertools.chain.from_iterable(lines.split(content, max_bytes, mark=mark))
    return list(itertools.islice(found, where.skip, where.skip + where.num_lines))


def _raw(
    path: locations.Location, begin: int, end: int, *, exact: bool = False
) -> Iterator[tuple[int, bytes]]:
    """Yields (offset, bytes) of the lines that begin in [begin, end).

    Args:
        path: The file.
        begin: The first byte.
        end: One more than the last.
        exact: A line is known to begin at `begin` and one to end at `end`.
    """
    with path.open("rb") as file:
        position = begin
        if begin and not exact:
            # A line begins here if the byte before ends one.
            position = begin - 1
            file.seek(position)
            while True:
                block = file.read(min(_BLOCK_BYTES, end - 1 - position))
                if not block:
                    return  # no line begins in this range
                at = block.find(b"\n") + 1
                position += at or len(block)
                if at:
                    break
        file.seek(position)
        block = b"\n"
        while position < end:
            block = file.read(min(_BLOCK_BYTES, end - position))
            if not block:
                return
            yield position, block
            position += len(block)
        while not exact and not block.endswith(b"\n"):
            block = file.read(_TAIL_BYTES)
            if not block:
                return
            block = block[: block.find(b"\n") + 1] or block
            yield position, block
            position += len(block)
