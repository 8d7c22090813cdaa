import os
import pathlib
import shutil
import signal

import pytest

from pipeline import directories, exits


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_directory_has_its_name_once_the_block_is_done(tmp_path):
    target = tmp_path / "target"
    with directories.appearing(target) as partial:
        (partial / "inner").mkdir()
        (partial / "inner/a").write_text("one")
        assert not target.exists()
    assert (target / "inner/a").read_text() == "one"
    assert _names(tmp_path) == ["target"]


def test_what_was_there_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("old")
    with directories.appearing(target) as partial:
        (partial / "new").write_text("new")
        assert _names(target) == ["old"]
    assert _names(target) == ["new"]
    assert _names(tmp_path) == ["target"]


def test_an_error_leaves_the_target_as_it_was(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("old")
    with (
        pytest.raises(ZeroDivisionError),
        directories.appearing(target) as partial,
    ):
        (partial / "new").write_text("new")
        raise ZeroDivisionError
    assert _names(target) == ["old"]
    assert _names(tmp_path) == ["target"]


def test_a_rename_that_fails_leaves_the_target_as_it_was(tmp_path, monkeypatch):
    """FAULTS 3: the new directory is taken away between the two renames of a swap."""
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("old")
    rename = pathlib.Path.rename

    def too_late(path, to):
        if path == partial:
            rename(path, tmp_path / "away")
        return rename(path, to)

    monkeypatch.setattr(pathlib.Path, "rename", too_late)
    with (
        pytest.raises(FileNotFoundError),
        directories.appearing(target) as partial,
    ):
        (partial / "new").write_text("new")
    assert _names(target) == ["old"]
    assert _names(tmp_path) == ["away", "target"]


def test_what_cannot_be_removed_yet_is_said_and_the_new_is_there(
    tmp_path, monkeypatch, caplog
):
    """NFS keeps what a program on another machine reads; there is none here."""
    target = tmp_path / "target"
    target.mkdir()
    monkeypatch.setattr(shutil, "rmtree", lambda path, ignore_errors: None)
    with directories.appearing(target) as partial:
        (partial / "new").write_text("new")
    assert _names(target) == ["new"]
    assert "cannot be removed yet" in caplog.text
    # What is left may be half of it: it must not take the place of one that is lost.
    target.rename(tmp_path / "lost")
    directories.recover(target)
    assert not target.exists()


def test_what_a_kill_left_is_put_right(tmp_path):
    """FAULTS 1."""
    target = tmp_path / "target"
    for name in ("target.tmp-12", "target.replaced-12", "target.tmp-mine", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "target.replaced-12/old").write_text("old")
    directories.recover(target)
    assert _names(tmp_path) == ["other", "target", "target.tmp-mine"]
    assert _names(target) == ["old"]


def test_what_was_replaced_before_a_kill_goes(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "new").write_text("new")
    (tmp_path / "target.replaced-12").mkdir()
    directories.recover(target)
    assert _names(tmp_path) == ["target"]
    assert _names(target) == ["new"]


def test_a_signal_is_a_refusal_even_where_a_library_hides_it():
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    with (
        pytest.raises(exits.Refusal, match="stopped by SIGTERM") as refused,
        directories.ended_by_signals(),
    ):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except exits.Refusal as error:
            raise RuntimeError from error
    assert refused.value.code == exits.PREEMPTED
    assert [signal.getsignal(number) for number in numbers] == before
