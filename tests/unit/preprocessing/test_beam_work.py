"""What workers of a cluster do, without a cluster: any order, any repetition."""

import collections
import functools
import itertools
import random

import pytest

from pipeline import knobs
from preprocessing import (
    beam_store,
    beam_work,
    config,
    corpora,
    corpus_config,
    duplicates,
    rows,
    runner_config,
    subword_config,
)
from preprocessing import chunks as chunks_lib


def _build(**cleaning) -> config.BuildConfig:
    return config.BuildConfig(
        output=config.OutputConfig(data_dir="unused"),
        corpus=corpus_config.CorpusConfig(train=("unused",)),
        task=config.TaskConfig(),
        subwords=subword_config.SubwordConfig(),
        cleaning=config.CleaningConfig(**cleaning),
    )


def _sources(draw: random.Random) -> list[corpora.Source]:
    """Returns corpora of few words, so that much is there twice."""
    found = []
    for split in draw.choices(["train", "valid", "test"], k=draw.randint(1, 6)):
        given = [
            rows.Row(
                n,
                draw.choice(b"abcde").to_bytes(1, "big"),
                tuple(draw.choices([b"0", b"1", b"2", b""], k=draw.choice([1, 1, 2]))),
            )
            if draw.random() < 0.9
            else rows.Row(n, b"broken", (), "columns")
            for n in range(1, draw.randint(1, 40))
        ]
        read = functools.partial(iter, given)
        found.append(corpora.Source(split, split, 1.0, (), read_rows=read))
    return found


@pytest.mark.parametrize("same_by", ["pair", "source"])
@pytest.mark.parametrize("seed", range(40))
def test_marks_and_overlap_are_those_of_the_local_runner(
    tmp_path, monkeypatch, seed, same_by
):
    draw = random.Random(seed)
    monkeypatch.setattr(chunks_lib, "CHUNK_ROWS", draw.randint(1, 9))
    monkeypatch.setattr(beam_work, "BLOCK_CHUNKS", draw.randint(1, 4))
    dedup, drop_overlap = draw.random() < 0.7, draw.random() < 0.7
    build = _build(
        same_by=same_by if dedup or drop_overlap else "pair",
        dedup=dedup,
        drop_overlap=drop_overlap,
    )
    sources = _sources(draw)
    chunks = list(chunks_lib.of_sources(sources, 100))
    scratch = str(tmp_path / "scratch")
    beam_store.put(scratch, "job", beam_work.Job(build, sources))

    hashed = list(
        itertools.chain.from_iterable(
            beam_work.fingerprints(scratch, chunk) for chunk in chunks
        )
    )
    draw.shuffle(hashed)
    overlap = {name: {"pairs": 0, "sources": 0} for name in ("valid", "test")}
    blocks = collections.defaultdict(list)
    for same in _grouped(hashed).items():
        for kind, (key, value) in beam_work.resolve(build.cleaning, same):
            if kind == "overlap":
                overlap[key[0]][key[1]] += value
            else:
                blocks[key].append(value)
    for block in [*blocks.items(), *blocks.items()]:  # an engine may do it twice
        list(beam_work.put_marks(scratch, block))

    fingerprint = duplicates.fingerprinter(build)
    folder = tmp_path / "local"
    folder.mkdir()
    prints = [fingerprint(chunk)[1] for chunk in chunks]
    wanted = duplicates.find(prints, folder, build.cleaning, None)
    assert overlap == wanted.overlap
    for chunk in chunks:
        assert beam_work.marks_of(scratch, chunk) == wanted.of(chunk)


def _grouped(pairs):
    found = collections.defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return found


def test_what_is_put_is_there_whole_and_in_order(tmp_path):
    folder = str(tmp_path / "deep" / "folder")
    assert beam_store.get(folder, 3) is None
    assert list(beam_store.each(folder)) == []
    for number in (10, 2, 10):
        beam_store.put(folder, number, {"number": number})
    (tmp_path / "deep" / "folder" / f"{7:012d}{beam_store.ATTEMPT}x").write_bytes(b"1")
    assert list(beam_store.each(folder)) == [(2, {"number": 2}), (10, {"number": 10})]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beam_runner": "FlinkRunner"}, "--beam_runner needs --runner=beam"),
        ({"beam_options": ("--x=1",)}, "--beam_options needs --runner=beam"),
        ({"runner": "beam", "beam_options": ("x=1",)}, "does not begin with --"),
        ({"runner": "beam", "beam_options": ("--runner=X",)}, "with --beam_runner"),
    ],
)
def test_options_that_nobody_would_look_at_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        runner_config.RunnerConfig(**given)


@pytest.mark.parametrize(
    ("output", "runner", "message"),
    [
        ({"num_workers": 2}, "beam", "--num_workers=2 needs --runner=local"),
        ({"data_dir": "gs://a/b"}, "local", "needs --runner=beam"),
        ({"data_dir": "gs://a/b", "overwrite": True}, "beam", "cannot replace"),
    ],
)
def test_what_a_runner_cannot_do_is_refused(output, runner, message):
    build = _build()
    settings = {"data_dir": "unused"} | output
    with pytest.raises(ValueError, match=message):
        config.BuildConfig(
            output=config.OutputConfig(**settings),
            corpus=build.corpus,
            task=build.task,
            subwords=build.subwords,
            cleaning=build.cleaning,
            runner=runner_config.RunnerConfig(runner=runner),
        )


def test_who_does_the_work_is_no_setting_of_the_data():
    assert (
        not {"runner", "beam_runner", "beam_options"}
        & knobs.fixed_leaves(_build()).keys()
    )
