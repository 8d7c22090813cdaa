import collections
import dataclasses
import functools
import random

import pytest

from preprocessing import chunks as chunks_lib
from preprocessing import (
    config,
    corpora,
    corpus_config,
    duplicates,
    rows,
    splitting,
    subword_config,
)

BUILD = config.BuildConfig(
    output=config.OutputConfig(data_dir="unused"),
    corpus=corpus_config.CorpusConfig(train=("unused",)),
    task=config.TaskConfig(),
    subwords=subword_config.SubwordConfig(),
    cleaning=config.CleaningConfig(),
)


def _find(folder, pairs: dict[str, list[tuple[bytes, ...]]], num_rows=None, **given):
    """Returns the marks of all rows, in order, and the overlap.

    Pairs are a source and its targets; without one they could not be read.
    """
    sources = [
        corpora.Source(
            split,
            split,
            1,
            (),
            read_rows=functools.partial(
                iter,
                [
                    rows.Row(n, src, tuple(targets), "" if targets else "columns")
                    for n, (src, *targets) in enumerate(some, 1)
                ],
            ),
        )
        for split, some in pairs.items()
    ]
    fingerprint = duplicates.Fingerprinter(BUILD)
    chunks = list(chunks_lib.of_sources(sources, 1000))
    cleaning = dataclasses.replace(BUILD.cleaning, **given)
    folder.mkdir()
    found = duplicates.find(
        (fingerprint(chunk)[1] for chunk in chunks), folder, cleaning, num_rows
    )
    marks = [found.of(chunk) or bytes(chunk.size) for chunk in chunks]
    return list(b"".join(marks)), found.overlap


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("same_by", ["pair", "source"])
def test_all_but_the_first_of_each_are_marked_whatever_the_partitions(
    tmp_path, seed, same_by
):
    draw = random.Random(seed)
    train = [
        (b"%d" % draw.randrange(40), b"%d" % draw.randrange(3)) for _ in range(3000)
    ]
    seen: collections.Counter = collections.Counter()
    expected = []
    for pair in train:
        key = pair if same_by == "pair" else pair[0]
        expected.append(int(seen[key] > 0))
        seen[key] += 1
    for name, num_rows in (("few", 3000), ("many", 50_000_000)):
        marks, _ = _find(
            tmp_path / name, {"train": train}, num_rows, dedup=True, same_by=same_by
        )
        assert marks == expected


def test_pairs_of_valid_and_test_are_counted_and_left_out_if_asked(tmp_path):
    """FAULTS 22."""
    pairs = {
        "train": [(b"a", b"x"), (b"a", b"y"), (b"b", b"x"), (b"c", b"x"), (b"a", b"x")],
        "valid": [(b"a", b"x"), (b"z", b"z")],
        "test": [(b" b ", b"x")],
    }
    overlap = {"valid": {"pairs": 2, "sources": 3}, "test": {"pairs": 1, "sources": 1}}
    assert _find(tmp_path / "a", pairs) == ([0] * 8, overlap)
    assert _find(tmp_path / "b", pairs, drop_overlap=True) == (
        [2, 0, 2, 0, 2, 0, 0, 0],
        overlap,
    )
    marks, _ = _find(tmp_path / "c", pairs, drop_overlap=True, same_by="source")
    assert marks == [2, 2, 2, 0, 2, 0, 0, 0]
    marks, _ = _find(tmp_path / "d", pairs, dedup=True, drop_overlap=True)
    assert marks == [2, 0, 2, 0, 2, 0, 0, 0]


@pytest.mark.parametrize("count", [1, 250])  # alone, and among many that are clean
@pytest.mark.parametrize(
    ("bad", "good", "same_by"),
    [
        ((b"a", b""), (b"a", b"x"), "source"),
        ((b"a", b"\xff"), (b"a", b"x"), "source"),
        ((b"a\x0c", b"x"), (b"a", b"x"), "pair"),
        ((b"a" + b" " * 40_000, b"x"), (b"a", b"x"), "pair"),
    ],
)
def test_what_repeats_a_row_that_is_left_out_is_kept(
    tmp_path, bad, good, same_by, count
):
    others = [(b"%d" % n, b"x") for n in range(count)]
    train = [*others, bad, good, good]
    marks, _ = _find(tmp_path / "dedup", {"train": train}, dedup=True, same_by=same_by)
    assert marks == [0] * count + [0, 0, 1]


def test_a_held_out_row_that_is_left_out_overlaps_nothing(tmp_path):
    pairs = {
        "train": [(b"a", b"x"), (b"b", b"x")],
        "test": [(b"a", b"\xff"), (b"b", b"")],
    }
    marks, overlap = _find(tmp_path / "a", pairs, drop_overlap=True, same_by="source")
    assert marks == [0, 2, 0, 0]
    assert overlap["test"] == {"pairs": 0, "sources": 1}


def test_any_reference_of_a_held_out_row_makes_a_training_pair_overlap(tmp_path):
    train = [(b"a", b"x"), (b"a", b"y"), (b"a", b"z"), (b"a", b"x", b"y")]
    pairs = {"train": train, "valid": [(b"a", b"x", b" y")]}
    marks, overlap = _find(tmp_path / "a", pairs, drop_overlap=True)
    assert marks == [2, 2, 0, 2, 0]
    assert overlap["valid"] == {"pairs": 4, "sources": 4}


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ([(b"a", b"x", b"y"), (b"a", b"y"), (b"a", b"z")], [0, 1, 0]),
        ([(b"a", b"x"), (b"a", b"x", b"y")], [0, 0]),  # y was not there before
        ([(b"a", b"x", b"y"), (b"a", b"x", b" y"), (b"a", b"x ", b"x")], [0, 1, 1]),
        ([(b"a", b"x", b"y"), (b"a", b"y", b"x", b"y")], [0, 1]),
    ],
)
def test_a_row_of_several_references_is_one_pair_for_each(tmp_path, train, expected):
    assert _find(tmp_path / "dedup", {"train": train}, dedup=True)[0] == expected


def test_a_row_overlaps_by_any_of_its_references(tmp_path):
    pairs = {
        "train": [(b"a", b"x", b"y"), (b"a", b"z", b"w")],
        "test": [(b"a", b"y")],
    }
    marks, overlap = _find(tmp_path / "a", pairs, drop_overlap=True)
    assert marks == [2, 0, 0]
    assert overlap["test"] == {"pairs": 1, "sources": 2}


def test_what_a_weight_leaves_out_is_repeated_by_nothing():
    some = [rows.Row(n, b"%d" % n, (b"x",)) for n in range(1, 101)]
    read = functools.partial(iter, some)
    source = corpora.Source("half", "train", 0.5, (), read_rows=read)
    (chunk,) = chunks_lib.of_sources([source], 1000)
    _, found = duplicates.Fingerprinter(BUILD)(chunk)
    written = [splitting.copies(chunk, row, BUILD) for row in some]
    assert 20 < sum(written) < 80
    assert [int(row in found["row"]) for row in range(100)] == written


def test_rows_after_the_last_that_can_be_kept_have_marks_too(tmp_path):
    train = [(b"a", b"x"), (b"a", b"x"), (b"broken",), (b"b", b""), (b"broken",)]
    assert _find(tmp_path / "a", {"train": train}, dedup=True)[0] == [0, 1, 0, 0, 0]


def test_rows_that_were_not_read_are_no_duplicates(tmp_path):
    chunk_rows = [rows.Row(n, b"same", (), "columns") for n in (1, 2)]
    source = corpora.Source(
        "a", "train", 1, (), read_rows=functools.partial(iter, chunk_rows)
    )
    (chunk,) = chunks_lib.of_sources([source], 1000)
    size, found = duplicates.Fingerprinter(BUILD)(chunk)
    assert (size, len(found)) == (2, 0)


def test_the_disk_has_room_for_all_marks_before_the_first_is_made(tmp_path):
    """FAULTS 3: one that is full under a mapped file ends a process by SIGBUS."""
    marks = duplicates._marks_on_disk(tmp_path / "marks", 1 << 20)
    assert marks.shape == (1 << 20,)
    assert not marks.any()
    assert 512 * (tmp_path / "marks").stat().st_blocks >= 1 << 20
