"""What workers of a cluster do: functions of one element, without Beam in them.

Each yields what it found; `beam_runner` says how they hang together. They know the
build by `scratch`, the name of a folder that every worker can read:

    job                 settings and sources
    numbers             rows of each source, and where it begins in the corpus
    survey/<source>     facts and ranges of its files
    marks/<block>       which rows of 512 chunks are left out
    recipe              what an encoder is made from
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pipeline import manifest
from preprocessing import (
    accounts,
    beam_store,
    chunk_places,
    config,
    corpora,
    duplicates,
    encoder,
    line_ranges,
    lines,
    training_text,
)
from preprocessing import chunks as chunks_lib

BLOCK_CHUNKS = 512  # chunks whose marks, texts or rejects share a file
FACTS, RANGE, ROWS = 0, 1, 2  # what a survey asks
_BY_PAIR, _BY_SOURCE = b"p", b"s"


class Job(NamedTuple):
    """What a build was asked to do."""

    build: config.BuildConfig
    sources: list[corpora.Source]


class Numbers(NamedTuple):
    """How the rows of the sources are counted: see `chunk_places.firsts`."""

    num_rows: list[int]
    firsts: list[chunk_places.First]


class Question(NamedTuple):
    """What to find out of a file, or of a range of it, or of a whole source."""

    kind: int
    source: int
    file: int = 0
    begin: int = 0
    end: int = 0


def questions(sources: list[corpora.Source]) -> Iterator[Question]:
    """Yields what has to be known of the sources before anything is written."""
    for number, source in enumerate(sources):
        for file, path in enumerate(source.files):
            yield Question(FACTS, number, file)
            if not source.encodings:
                continue
            size = path.stat().st_size
            parts = [(0, size)]
            if lines.is_splittable(path, source.encodings[file]):
                parts = line_ranges.ranges(size)
            for begin, end in parts:
                yield Question(RANGE, number, file, begin, end)
        if source.reader is None:
            yield Question(ROWS, number)


def survey(scratch: str, asked: Question) -> Iterator[tuple[int, Any]]:
    """Yields (source, (question, answer))."""
    job = _job(scratch)
    source = job.sources[asked.source]
    answer: Any
    if asked.kind == ROWS and source.read_rows is not None:
        answer = sum(1 for _ in source.read_rows())
    elif asked.kind == FACTS:
        answer = lines.facts(source.files[asked.file])
    else:
        answer = _range(source, asked, job.build.cleaning.max_bytes)
    yield asked.source, (asked, answer)


def _range(
    source: corpora.Source, asked: Question, max_bytes: int
) -> line_ranges.Range:
    path, encoding = source.files[asked.file], source.encodings[asked.file]
    if lines.is_splittable(path, encoding):
        return line_ranges.survey(
            path, asked.begin, asked.end, encoding=encoding, max_bytes=max_bytes
        )
    found = lines.blocks(path, max_bytes, encoding)
    tally = lines.count(found, max_bytes, encoding)
    return line_ranges.Range(0, np.zeros(0, np.int64), tally)


def chunks(
    scratch: str, number: int
) -> Iterator[chunk_places.Place | chunks_lib.Chunk]:
    """Yields the chunks of a source: where they are, or what one worker has to read."""
    job = _job(scratch)
    numbers: Numbers = beam_store.get(scratch, "numbers")
    source, first = job.sources[number], numbers.firsts[number]
    if not chunk_places.is_splittable(source):
        longest = job.build.cleaning.max_bytes
        yield from chunks_lib.of_source(source, number, *first, longest)
        return
    answers = beam_store.get(f"{scratch}/survey", number)
    indices = [
        line_ranges.index(
            [
                answer
                for asked, answer in answers
                if asked.kind == RANGE and asked.file == file
            ],
            path.stat().st_size,
        )
        for file, path in enumerate(source.files)
    ]
    num_rows = numbers.num_rows[number]
    yield from chunk_places.places(source, number, first, num_rows, indices)


def read(
    scratch: str, found: chunk_places.Place | chunks_lib.Chunk
) -> Iterator[chunks_lib.Chunk]:
    """Yields the chunk."""
    if isinstance(found, chunks_lib.Chunk):
        yield found
        return
    job = _job(scratch)
    longest = job.build.cleaning.max_bytes
    yield chunk_places.read(found, job.sources[found.source], longest)


def label_names(
    scratch: str, renamed: dict[str, str] | None, chunk: chunks_lib.Chunk
) -> Iterator[str]:
    """Yields the names of the classes, of rows not given as held out, each once."""
    yield from training_text.label_names(chunk, _job(scratch).build, renamed)


def fingerprints(
    scratch: str, chunk: chunks_lib.Chunk
) -> Iterator[tuple[bytes, tuple[int, int, int, int]]]:
    """Yields a hash of each row and pair, and of each source, and what it is of.

    That is its split, chunk, row, and bits of `duplicates`: whether of a whole row,
    whether of a pair.
    """
    _, found = duplicates.fingerprinter(_job(scratch).build)(chunk)
    sources = found[found["of"] & duplicates.WHOLE > 0]
    for kind, name, some in ((_BY_PAIR, "pair", found), (_BY_SOURCE, "src", sources)):
        rows = (some["row"] - np.uint64(chunk.first_row)).tolist()
        hashes = np.ascontiguousarray(some[name]).tobytes()
        places = zip(some["split"].tolist(), rows, some["of"].tolist(), strict=True)
        for index, (split, row, of) in enumerate(places):
            key = kind + hashes[8 * index : 8 * index + 8]
            yield key, (split, chunk.number, row, of)


def resolve(
    cleaning: config.CleaningConfig,
    same: tuple[bytes, Iterable[tuple[int, int, int, int]]],
) -> Iterator[tuple[str, Any]]:
    """Yields the overlap that equal pairs or sources make, and marks for their rows.

    See `duplicates._resolve`, which does the same where all are in one place.

    The rows are gone through twice and never held: any number may be equal.

    Args:
        cleaning: What is left out.
        same: A hash, and split, chunk, row and bits of each that has it.
    """
    key, found = same
    kind = key[:1]
    decides = _BY_PAIR if cleaning.same_by == "pair" else _BY_SOURCE
    counted = duplicates.PAIR if kind == _BY_PAIR else duplicates.WHOLE
    num_train = num_counted = 0
    held_out = set()
    first: tuple[int, int] | None = None
    for split, chunk, row, of in found:
        if split:
            held_out.add(split)
            continue
        num_train += 1
        num_counted += bool(of & counted)
        first = (chunk, row) if first is None else min(first, (chunk, row))
    for split in held_out if num_counted else ():
        what = "pairs" if kind == _BY_PAIR else "sources"
        yield "overlap", ((manifest.SPLITS[split], what), num_counted)
    overlaps = held_out and cleaning.drop_overlap
    if kind != decides or not (overlaps or (cleaning.dedup and num_train > 1)):
        return
    for split, chunk, row, of in found:
        block = chunk // BLOCK_CHUNKS
        if split:
            continue
        if overlaps and of & counted:
            yield "marks", (block, (chunk, row, duplicates.IS_OVERLAP))
        elif cleaning.dedup and of & duplicates.WHOLE and (chunk, row) != first:
            yield "marks", (block, (chunk, row, duplicates.IS_DUPLICATE))


def put_marks(
    scratch: str, block: tuple[int, Iterable[tuple[int, int, int]]]
) -> Iterator[int]:
    """Writes the marks of a block of chunks: chunk, row and mark, int64 [K, 3]."""
    number, marks = block
    beam_store.put(f"{scratch}/marks", number, np.array(sorted(marks), np.int64))
    yield number


def marks_of(scratch: str, chunk: chunks_lib.Chunk) -> bytes | None:
    """Returns a mark for each row of a chunk, or None where all are kept."""
    marked = _block_marks(scratch, chunk.number // BLOCK_CHUNKS)
    begin, end = np.searchsorted(marked[:, 0], [chunk.number, chunk.number + 1])
    if begin == end:
        return None
    marks = np.zeros(chunk.size, np.uint8)
    marks[marked[begin:end, 1]] = marked[begin:end, 2]
    return marks.tobytes()


def num_training_rows(scratch: str, chunk: chunks_lib.Chunk) -> Iterator[int]:
    """Yields the number of training rows that are no duplicates."""
    marks, build = marks_of(scratch, chunk), _job(scratch).build
    yield sum(1 for _ in training_text.training_rows(chunk, marks, build))


def texts(
    scratch: str, sides: tuple[str, ...], share: float, chunk: chunks_lib.Chunk
) -> Iterator[tuple[int, tuple[int, list[str]]]]:
    """Yields (block, (chunk, usable training text)) if there is any."""
    marks, build = marks_of(scratch, chunk), _job(scratch).build
    found = list(training_text.texts(chunk, marks, build, sides, share))
    if found:
        yield chunk.number // BLOCK_CHUNKS, (chunk.number, found)


def encode(scratch: str, chunk: chunks_lib.Chunk) -> Iterator[tuple[str, Any]]:
    """Yields what becomes of a chunk: parts of shards, counts and rejects."""
    encoded = _encoder(scratch)(encoder.Work(chunk, marks_of(scratch, chunk)))
    for part in encoded.parts:
        key = (part.split, part.segmentation, part.shard)
        yield "parts", (key, (chunk.number, part.framed, part.lengths))
    for item in accounts.of(encoded).items():
        yield "counts", item
    if encoded.rejects:
        block = chunk.number // BLOCK_CHUNKS
        yield "rejects", (block, (chunk.number, encoded.rejects))


def put(folder: str, found: tuple[int, Iterable[Any]]) -> Iterator[int]:
    """Writes all that has a number, in ascending order."""
    number, values = found
    beam_store.put(folder, number, sorted(values, key=_order))
    yield number


def _order(value: Any) -> Any:
    """Returns what tells values apart: the first of them, if they have parts."""
    return value[0] if isinstance(value, tuple) else value


@functools.lru_cache(4)
def _job(scratch: str) -> Job:
    job: Job = beam_store.get(scratch, "job")
    return job


@functools.lru_cache(8)
def _block_marks(scratch: str, block: int) -> np.ndarray:
    found = beam_store.get(f"{scratch}/marks", block)
    return np.zeros((0, 3), np.int64) if found is None else found


@functools.lru_cache(1)
def _encoder(scratch: str) -> encoder.Encoder:
    return encoder.make(beam_store.get(scratch, "recipe"))
