import pathlib

import pytest

from tests import programs, small_runs


@pytest.fixture(scope="session")
def workdir(data_dir, tmp_path_factory) -> pathlib.Path:
    """A run of a few steps: what it says makes no sense. Tests must not change it."""
    path = tmp_path_factory.mktemp("run")
    programs.succeed(
        "trainers.seq2seq",
        *small_runs.flags(data_dir, path),
        "--num_steps=60",
        "--eval_every_steps=30",
        "--save_every_steps=20",
    )
    return path
