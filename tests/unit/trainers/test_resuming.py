import os
import subprocess
import sys

import pytest

from pipeline import fail_points
from trainers import resuming, run_directory

FIRST_SAVE = """
import pathlib, sys
import tensorflow as tf
from trainers import checkpoints
state = {"facts": {"flags": {"tokens_per_batch": 960}}}
checkpoints.save(pathlib.Path(sys.argv[1]), 10, {"a": tf.Variable(1)}, state)
"""


@pytest.mark.parametrize(
    ("place", "saved"),
    [("index.before", None), ("ready.between", 960), ("index.after", 960)],
)
def test_what_memory_decided_is_found_after_a_kill_in_the_first_save(
    tmp_path, place, saved
):
    """FAULTS 40: --tokens_per_batch=auto asks before anything is restored."""
    directory = run_directory.RunDirectory(tmp_path)
    directory.checkpoints.mkdir()
    killed = subprocess.run(
        [sys.executable, "-c", FIRST_SAVE, str(directory.checkpoints)],
        env={**os.environ, fail_points.VARIABLE: f"checkpoint.{place}"},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == fail_points.KILLED, killed.stderr
    assert resuming.saved_flag(directory, "tokens_per_batch") == saved
