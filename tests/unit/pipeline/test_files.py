import subprocess
import sys

import pytest

from pipeline import exits, files

HOLD = """
import pathlib, sys, time
from pipeline import files
with files.locked(pathlib.Path(sys.argv[1]), what="x"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_file_is_whole_or_as_before(tmp_path):
    path = tmp_path / "a.json"
    files.write_whole(path, "one")
    files.write_whole(path, "two")
    assert path.read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_file_whose_writing_fails_stays_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    files.write_whole(path, "one")
    with pytest.raises(KeyError), files.writing_whole(path) as file:
        file.write("two")
        raise KeyError
    assert path.read_text() == "one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_lock_that_another_process_holds_is_refused_and_dies_with_it(tmp_path):
    """FAULTS 6 and 49."""
    path = tmp_path / "deep" / ".lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(exits.Refusal, match="--workdir=x: another run") as error,
            files.locked(path, what="--workdir=x"),
        ):
            pytest.fail("the lock was given twice")
        assert error.value.code == exits.LOCKED
        holder.kill()
    with files.locked(path, what="--workdir=x"):
        pass


def test_a_file_that_could_not_be_written_is_refused_before_the_work(tmp_path):
    files.check_target(None, "--output")
    files.check_target(str(tmp_path / "new"), "--output")
    with pytest.raises(exits.Refusal, match="--output=.*: there is no directory"):
        files.check_target(str(tmp_path / "none" / "new"), "--output")
    with pytest.raises(exits.Refusal, match="--output=.*: is a directory"):
        files.check_target(str(tmp_path), "--output")
