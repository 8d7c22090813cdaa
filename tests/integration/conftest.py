import pathlib

import pytest

from tests import programs


@pytest.fixture(scope="session")
def workdir(data_dir, tmp_path_factory) -> pathlib.Path:
    """A run of a few steps: what it says makes no sense. Tests must not change it."""
    path = tmp_path_factory.mktemp("run")
    programs.succeed(
        "trainers.seq2seq",
        f"--data_dir={data_dir}",
        f"--workdir={path}",
        "--d_model=16",
        "--d_ff=24",
        "--num_heads=2",
        "--num_layers=1",
        "--tokens_per_batch=512",
        "--num_steps=60",
        "--learning_rate=1e-2",
        "--warmup_steps=10",
        "--eval_every_steps=30",
        "--save_every_steps=20",
    )
    return path
