"""Chunks: the rows of all sources, 2,000 at a time, numbered through.

    rows of the sources     4,500           2,000    1
    chunks                  0  1  2         3        4

A chunk holds the lines themselves where a format has a row on each line, so that other
processes take them apart, and rows where only a parser can.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline import exits
from preprocessing import cleaning, corpora, line_formats, lines, rows

CHUNK_ROWS = 2_000
_COLUMNS = 16  # as many sides of the longest kind fit on a line


class Chunk(NamedTuple):
    """Consecutive rows of one source.

    Attributes:
        source: Index of the source.
        split: The source's.
        weight: The source's.
        name: The source's.
        number: Of the chunk in the corpus, from 0.
        first_row: Number of its first row in the corpus, from 0.
        first_line: Line number of its first row.
        size: Number of rows.
        texts: For each file its lines, joined by newlines; None where `parsed` is.
        longest: Longer lines were cut, and are not taken apart.
        reader: Takes the lines apart.
        parsed: The rows of other formats.
        corpus: The source's.
    """

    source: int
    split: str | None
    weight: float
    name: str
    number: int
    first_row: int
    first_line: int
    size: int
    texts: tuple[bytes, ...] | None
    longest: int
    reader: line_formats.LineReader | None
    parsed: list[rows.Row]
    corpus: str = ""

    def rows(self) -> list[rows.Row]:
        """Returns the rows, taken apart.

        Raises:
            exits.Refusal: If the files have other lines than when they were counted.
        """
        if self.texts is None or self.reader is None:
            return self.parsed
        row = self.reader.row
        sides = [text.split(b"\n") for text in self.texts]
        if any(len(side) != self.size for side in sides):
            raise exits.Refusal(
                exits.BAD_DATA, f"{self.name}: changed while it was read; build again"
            )
        found = [
            row(number, side)
            for number, side in enumerate(
                zip(*sides, strict=True), start=self.first_line
            )
        ]
        cut = {
            index
            for side in sides
            for index, line in enumerate(side)
            if len(line) > self.longest
        }
        for index in cut:
            whole = b"\t".join(side[index] for side in sides)
            found[index] = rows.Row(
                self.first_line + index, whole, (), cleaning.TOO_LONG
            )
        return found


def of_sources(sources: Sequence[corpora.Source], max_bytes: int) -> Iterator[Chunk]:
    """Yields the rows of all sources, in order, a chunk at a time."""
    index = first_row = 0
    for number, source in enumerate(sources):
        for chunk in of_source(source, number, index, first_row, max_bytes):
            yield chunk
            index += 1
            first_row += chunk.size


def of_source(
    source: corpora.Source,
    number: int,
    first_chunk: int,
    first_row: int,
    max_bytes: int,
) -> Iterator[Chunk]:
    """Yields the rows of one source, in order, a chunk at a time.

    Args:
        source: The source.
        number: Its index.
        first_chunk: Chunks of the sources before it.
        first_row: Rows of the sources before it.
        max_bytes: Longest side.
    """
    first_line = 1 + source.header_lines
    longest = longest_line(source, max_bytes)
    for texts, parsed, size in _parts(source, longest):
        yield Chunk(
            source=number,
            split=source.split,
            weight=source.weight,
            name=source.name,
            number=first_chunk,
            first_row=first_row,
            first_line=first_line,
            size=size,
            texts=texts,
            longest=longest,
            reader=source.reader,
            parsed=parsed,
            corpus=source.corpus,
        )
        first_chunk += 1
        first_row += size
        first_line += size


def longest_line(source: corpora.Source, max_bytes: int) -> int:
    """Returns where longer lines of a source are cut, in bytes.

    A row of several columns may be longer than a side may be.
    """
    return max_bytes * (1 if len(source.files) > 1 else _COLUMNS)


def _parts(
    source: corpora.Source, longest: int
) -> Iterator[tuple[tuple[bytes, ...] | None, list[rows.Row], int]]:
    """Yields (joined lines of each file, parsed rows, number of rows)."""
    if source.read_rows is not None:
        parsed_rows = source.read_rows()
        while part := list(itertools.islice(parsed_rows, CHUNK_ROWS)):
            yield None, part, len(part)
        return
    readers = [
        itertools.islice(lines.read(path, longest, encoding), source.header_lines, None)
        for path, encoding in zip(source.files, source.encodings, strict=True)
    ]
    while True:
        parts = [list(itertools.islice(reader, CHUNK_ROWS)) for reader in readers]
        if not parts[0]:
            return
        yield tuple([b"\n".join(part) for part in parts]), [], len(parts[0])
