"""preprocessing.build as a program: the same bytes always, and whole or not at all."""

import hashlib
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from pipeline import manifest
from tests import programs, small_data

BUILD = "preprocessing.build"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("corpus")
    text = "".join(f"{src}\t{tgt}\n" for src, tgt in small_data.pairs(9000))
    (folder / "pairs.tsv").write_text(text + "ba\t\nno columns\nb\\xe9\tx\n")
    return folder


def _flags(corpus: pathlib.Path, target: pathlib.Path, *more: str) -> list[str]:
    return [
        f"--data_dir={target}",
        f"--train={corpus / 'pairs.tsv'}",
        "--valid_fraction=0.02",
        "--test_fraction=0.02",
        "--vocab_size=200",
        "--num_shards=3",
        *more,
    ]


def _digest(directory: pathlib.Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
    }


@pytest.fixture(scope="module")
def built(corpus) -> pathlib.Path:
    target = corpus / "whole" / "data"
    out = programs.succeed(BUILD, *_flags(corpus, target, "--num_workers=1"))
    assert "pairs read" in out
    return target


def test_workers_hash_seed_locale_and_time_zone_do_not_change_a_byte(
    corpus, built, tmp_path
):
    """FAULTS 20."""
    flags = _flags(corpus, tmp_path / "data", "--num_workers=2")
    programs.succeed(BUILD, *flags, PYTHONHASHSEED="7", LC_ALL="C", TZ="Asia/Tokyo")
    assert _digest(tmp_path / "data") == _digest(built)


def test_the_numbers_add_up(built):
    """Promise P3."""
    facts = manifest.read(built)
    for split in facts.splits.values():
        assert split.pairs_read == split.num_records + sum(split.rejects.values())
    assert sum(split.pairs_read for split in facts.splits.values()) == 9003
    assert sum(split.num_records for split in facts.splits.values()) >= 9000
    assert facts.sources[0]["files"][0]["lines"] == 9003


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_it_leaves_no_target_and_the_next_run_the_same_bytes(
    corpus, built, tmp_path, seed
):
    """FAULTS 1."""
    target = tmp_path / "data"
    flags = _flags(corpus, target, "--num_workers=1")
    moment = time.monotonic() + random.Random(seed).uniform(0.3, 1.2)
    programs.stop_when(
        BUILD, *flags, ready=lambda: time.monotonic() > moment, number=signal.SIGKILL
    )
    programs.succeed(BUILD, *flags)
    assert _digest(target) == _digest(built)
    assert not list(tmp_path.glob("data.tmp-*"))


def test_stopped_by_sigterm_it_cleans_up_and_says_75(corpus, tmp_path):
    """FAULTS 2."""
    target = tmp_path / "data"
    code, errors = programs.stop_when(
        BUILD,
        *_flags(corpus, target),
        ready=lambda: bool(list(tmp_path.glob("data.tmp-*"))),
        number=signal.SIGTERM,
    )
    assert code == 75, errors
    assert "stopped by SIGTERM" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["data.lock"]


def test_a_finished_directory_is_left_alone_or_refused_or_replaced(
    corpus, built, tmp_path
):
    """FAULTS 4 and 5."""
    target = tmp_path / "data"
    programs.succeed(BUILD, *_flags(corpus, target))
    before = {path.name: path.stat().st_mtime_ns for path in target.iterdir()}
    again = programs.run(BUILD, *_flags(corpus, target, "--num_workers=1"))
    assert again.returncode == 0
    assert "is up to date" in again.stderr
    other = programs.run(BUILD, *_flags(corpus, target, "--lowercase", "--seed=5"))
    assert other.returncode == 78
    assert "lowercase: False there, True asked; seed: 1 there, 5 asked" in other.stderr
    assert {p.name: p.stat().st_mtime_ns for p in target.iterdir()} == before
    programs.succeed(BUILD, *_flags(corpus, target, "--lowercase", "--overwrite"))
    assert manifest.read(target).settings["lowercase"] is True
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["data", "data.lock"]


def test_other_content_under_the_same_name_is_refused(tmp_path):
    (tmp_path / "pairs.tsv").write_text("ba du\tab\n" * 30)
    programs.succeed(BUILD, *_flags(tmp_path, tmp_path / "data"))
    (tmp_path / "pairs.tsv").write_text("ki mo\tab\n" * 30)
    done = programs.run(BUILD, *_flags(tmp_path, tmp_path / "data"))
    assert done.returncode == 78
    assert "the input files have other content" in done.stderr


def test_a_directory_of_something_else_is_not_touched(corpus, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("mine")
    for more in ([], ["--overwrite"]):
        done = programs.run(BUILD, *_flags(corpus, tmp_path / "data", *more))
        assert done.returncode == 78
        assert (tmp_path / "data" / "precious").read_text() == "mine"


def test_overwrite_never_removes_the_input_or_a_neighbour(tmp_path):
    """Raw text inside the target, and a folder whose name only looks like ours."""
    (tmp_path / "data").mkdir()
    text = "ba du\tab\n" * 30
    (tmp_path / "data" / "pairs.tsv").write_text(text)
    (tmp_path / "data.tmp-old").mkdir()
    flags = _flags(tmp_path / "data", tmp_path / "data", "--overwrite")
    done = programs.run(BUILD, *flags)
    assert done.returncode == 78, done.stderr
    assert (tmp_path / "data" / "pairs.tsv").read_text() == text
    assert (tmp_path / "data.tmp-old").is_dir()


def test_of_two_builds_at_once_the_second_is_refused(corpus, tmp_path):
    """FAULTS 6."""
    flags = _flags(corpus, tmp_path / "data")
    first = subprocess.Popen(
        programs.command(BUILD, *flags), cwd=programs.ROOT, stdout=subprocess.DEVNULL
    )
    with first:
        while not list(tmp_path.glob("data.tmp-*")):
            time.sleep(0.01)
        second = programs.run(BUILD, *flags)
    assert second.returncode == 73
    assert "another run is using it" in second.stderr
    assert first.returncode == 0


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
sys.argv = sys.argv[1:]
runpy.run_module("preprocessing.build", run_name="__main__")
"""


def test_a_full_disk_is_exit_code_74_and_leaves_nothing(corpus, tmp_path):
    """FAULTS 3."""
    flags = _flags(corpus, tmp_path / "data", "--num_workers=1")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "build", *flags],
        cwd=programs.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 74, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data.lock"]
