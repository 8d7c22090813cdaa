"""Chunks that are read where they stand are those that are read in order."""

import dataclasses
import functools
import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing import (
    chunk_places,
    chunks,
    corpora,
    line_formats,
    line_ranges,
    lines,
)

LINE = st.one_of(
    st.sampled_from(
        [b"", b"\r", b"\xef\xbb\xbf", b"x" * 40, b"y" * 41 + b"\r", b"\xff"]
    ),
    st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"")),
)
CONTENT = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(LINE, max_size=40),
    st.sampled_from([b"", b"\n"]),
).map(lambda parts: parts[0] + b"\n".join(parts[1]) + parts[2])


def _surveyed(path, range_bytes: int, max_bytes: int, every: int):
    """Returns the ranges of a file, each found by itself."""
    size = path.stat().st_size
    return [
        line_ranges.survey(
            path,
            *part,
            encoding="utf-8",
            max_bytes=max_bytes,
            landmark_lines=every,
        )
        for part in line_ranges.ranges(size, range_bytes)
    ]


@settings(max_examples=300, deadline=None)
@given(CONTENT, st.integers(1, 60), st.integers(1, 5), st.integers(1, 30), st.data())
def test_any_ranges_of_a_file_hold_its_lines(
    tmp_path_factory, content, range_bytes, every, block_bytes, data
):
    """Counts, decoding and every span agree with reading from the beginning."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_ranges, "_BLOCK_BYTES", block_bytes)
        patch.setattr(line_ranges, "_TAIL_BYTES", block_bytes)
        _check_ranges(tmp_path_factory, content, range_bytes, every, data)


def _check_ranges(tmp_path_factory, content, range_bytes, every, data):
    path = tmp_path_factory.mktemp("any") / "a.txt"
    path.write_bytes(content)
    wanted = list(lines.read(path, 39, "utf-8"))
    found = _surveyed(path, range_bytes, 39, every)
    whole = lines.count([wanted], 39, "utf-8")
    assert sum(part.tally.lines for part in found) == len(wanted)
    assert sum(part.tally.undecodable for part in found) == whole.undecodable
    if wanted:
        index = line_ranges.index(found, len(content), every)
        first = data.draw(st.integers(0, len(wanted) - 1))
        count = data.draw(st.integers(1, len(wanted) - first))
        where = line_ranges.span(index, first, count)
        assert line_ranges.read(path, where, 39) == wanted[first : first + count]
        assert 0 <= where.skip < every


@pytest.mark.parametrize("range_bytes", [1, 7, 1 << 20])
def test_a_line_longer_than_many_ranges_is_counted_once(tmp_path, range_bytes):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\n" + b"x" * 500 + b"\nb")
    found = _surveyed(path, range_bytes, 10, 1)
    assert np.concatenate([part.landmarks for part in found]).tolist() == [0, 2, 503]


def _source(folder: pathlib.Path, name: str, num_lines: int, header: int):
    """Returns a source of lines that say their number, and rows that only a parser has
    where `header` is negative.
    """
    path = folder / name
    path.write_bytes(
        b"".join(b"%s %d\tx\n" % (name.encode(), n) for n in range(num_lines))
    )
    source = corpora.Source(name, "train", 1.0, (path,), ("utf-8",))
    reader = line_formats.Tsv(((0,), (1,)), "utf-8")
    if header < 0:
        read = functools.partial(_parsed, path, reader)
        return dataclasses.replace(source, read_rows=read)
    return dataclasses.replace(source, reader=reader, header_lines=header)


def _parsed(path, reader):
    for number, line in enumerate(lines.read(path, 1000, "utf-8"), start=1):
        yield reader.row(number, [line])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 26), st.integers(-1, 2)), min_size=1, max_size=6),
    st.integers(1, 200),
)
def test_the_numbers_of_chunks_are_those_of_the_local_runner(
    tmp_path_factory, sizes, range_bytes
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_ROWS", 4)
        folder = tmp_path_factory.mktemp("sources")
        sources = [_source(folder, f"s{n}", *size) for n, size in enumerate(sizes)]
        wanted = list(chunks.of_sources(sources, 50))
        num_rows = [max(0, count - max(0, header)) for count, header in sizes]
        firsts = chunk_places.firsts(num_rows)
        found = []
        for number, source in enumerate(sources):
            if not chunk_places.is_splittable(source):
                found += chunks.of_source(source, number, *firsts[number], 50)
                continue
            (path,) = source.files
            surveyed = _surveyed(path, range_bytes, 50, 3)
            index = line_ranges.index(surveyed, path.stat().st_size, 3)
            found += [
                chunk_places.read(place, source, 50)
                for place in chunk_places.places(
                    source, number, firsts[number], num_rows[number], [index]
                )
            ]
    assert found == wanted
    assert firsts[-1] == (len(wanted), sum(num_rows))


@pytest.mark.parametrize(
    ("name", "encoding", "expected"),
    [
        ("a.txt", "utf-8", True),
        ("a.txt", "latin-1", True),
        ("a.txt.gz", "utf-8", False),
        ("a.txt", "utf-16", False),
    ],
)
def test_packed_and_wide_text_is_read_from_its_beginning(name, encoding, expected):
    assert lines.is_splittable(pathlib.Path(name), encoding) == expected
