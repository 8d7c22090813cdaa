"""Where chunks are, so that any process can read any of them.

The local runner counts chunks while it reads; here their numbers are worked out from
the number of rows of each source, by the same rule: every 2,000 rows of a source are a
chunk, its last one may have fewer, and no chunk has rows of two sources.

    rows of the sources     4,500           2,000    1
    chunks                  0  1  2         3        4
    their first rows        0  2,000  4,000 4,500    6,500
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from preprocessing import chunks, corpora, line_ranges, lines


class First(NamedTuple):
    """Where a source begins in the corpus: its first chunk and first row."""

    chunk: int
    row: int


class Place(NamedTuple):
    """A chunk that can be read where it stands.

    Attributes:
        source: Index of its source.
        number: Of the chunk in the corpus.
        first_row: Number of its first row in the corpus.
        first_line: Line number of its first row.
        spans: Where its lines are in each file of the source.
    """

    source: int
    number: int
    first_row: int
    first_line: int
    spans: tuple[line_ranges.Span, ...]


def firsts(num_rows: Sequence[int]) -> list[First]:
    """Returns where each source begins, and at last where one more would.

    >>> [tuple(first) for first in firsts([4500, 2000, 1])]
    [(0, 0), (3, 4500), (4, 6500), (5, 6501)]
    """
    numbers = itertools.accumulate(
        (-(-rows // chunks.CHUNK_ROWS) for rows in num_rows), initial=0
    )
    return list(map(First, numbers, itertools.accumulate(num_rows, initial=0)))


def is_splittable(source: corpora.Source) -> bool:
    """Returns whether any process can read any chunk of a source by itself."""
    return source.reader is not None and all(
        lines.is_splittable(path, encoding)
        for path, encoding in zip(source.files, source.encodings, strict=True)
    )


def places(
    source: corpora.Source,
    number: int,
    first: First,
    num_rows: int,
    indices: Sequence[line_ranges.Index],
) -> Iterator[Place]:
    """Yields the chunks of a source for which `is_splittable`.

    Args:
        source: The source.
        number: Its index.
        first: Where it begins.
        num_rows: How many rows it has.
        indices: Of its files.
    """
    for chunk, row in enumerate(range(0, num_rows, chunks.CHUNK_ROWS)):
        line = source.header_lines + row  # from 0
        count = min(chunks.CHUNK_ROWS, num_rows - row)
        yield Place(
            source=number,
            number=first.chunk + chunk,
            first_row=first.row + row,
            first_line=line + 1,
            spans=tuple(line_ranges.span(index, line, count) for index in indices),
        )


def read(place: Place, source: corpora.Source, max_bytes: int) -> chunks.Chunk:
    """Returns a chunk as `chunks.of_source` has it.

    Args:
        place: Where it is.
        source: Its source.
        max_bytes: Longest side.
    """
    longest = chunks.longest_line(source, max_bytes)
    texts = [
        line_ranges.read(path, span, longest)
        for path, span in zip(source.files, place.spans, strict=True)
    ]
    return chunks.Chunk(
        source=place.source,
        split=source.split,
        weight=source.weight,
        name=source.name,
        number=place.number,
        first_row=place.first_row,
        first_line=place.first_line,
        size=place.spans[0].num_lines,
        texts=tuple(b"\n".join(text) for text in texts),
        longest=longest,
        reader=source.reader,
        parsed=[],
        corpus=source.corpus,
    )
