import errno
import os
import subprocess
import sys

import pytest

from pipeline import exits
from tests import programs


def _raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exits.Refusal(exits.BAD_DATA, "a.txt: is bad"), 65),
        (OSError(errno.ENOSPC, "No space left on device", "a.txt"), 74),
        (OSError(errno.EFBIG, "File too large", "a.txt"), 74),
        (OSError(errno.EBUSY, "Device or resource busy", "a.txt"), 74),
        (OSError(errno.EXDEV, "Invalid cross-device link", "a.txt"), 74),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.txt"), 66),
        (PermissionError(errno.EACCES, "Permission denied", "a.txt"), 66),
    ],
)
def test_what_a_user_can_cause_is_one_line_and_a_code(error, code, capsys):
    assert exits.run(_raising(error)) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("sluice: a.txt: ")


def test_a_message_of_several_lines_becomes_one(capsys):
    assert exits.run(_raising(exits.Refusal(65, "one\n  two"))) == 65
    assert capsys.readouterr().err == "sluice: one two\n"


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.ENOTTY, "x")])
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        exits.run(_raising(error))


@pytest.mark.parametrize(
    ("text", "written"), [("é中", "é中"), ("\ud800", "\\ud800")], ids=["text", "half"]
)
def test_text_goes_out_as_utf_8_whatever_the_locale(text, written):
    """FAULTS 58."""
    code = f"from pipeline import exits; exits.run(lambda: print({text!a}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=programs.ROOT,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == f"{written}\n"


def test_the_codes_are_those_of_sysexits():
    assert (exits.USAGE, exits.BAD_DATA, exits.MISSING_INPUT) == (64, 65, 66)
    assert (exits.DIVERGED, exits.LOCKED, exits.DISK) == (70, 73, 74)
    assert (exits.PREEMPTED, exits.MISMATCH) == (75, 78)
