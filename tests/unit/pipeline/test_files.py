import errno
import fcntl
import os
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


def test_a_link_stays_one_and_its_file_is_written(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "link").symlink_to("a.txt")
    files.write_whole(tmp_path / "link", "two")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a.txt").read_text() == "two"


def test_a_device_or_a_pipe_is_written_and_not_replaced(tmp_path):
    """As root, /dev/null would have been a plain file from then on."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = f"print(open({str(pipe)!r}).read())"
    reader = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )
    with reader:
        files.write_whole(pipe, "one")
        try:
            assert reader.communicate(timeout=10)[0] == "one\n"
        finally:
            reader.kill()  # nobody may have written to it
    assert pipe.is_fifo()


def test_where_there_are_no_locks_it_is_said_and_the_work_goes_on(
    tmp_path, monkeypatch, caplog
):
    """There is no such file system here to mount."""

    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with files.locked(tmp_path / ".lock", what="--workdir=x"):
        pass
    assert "--workdir=x: its file system has no locks" in caplog.text


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
