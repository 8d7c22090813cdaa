"""Whole runs on GPUs: exact resume, and several GPUs beside one."""

import json
import signal

import numpy as np
import pytest
import tensorflow as tf

from tests import programs, small_data, small_runs
from trainers import checkpoints

TRAIN = "trainers.seq2seq"
STEPS = 40


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    return small_data.make(tmp_path_factory.mktemp("sharded"), num_shards=8)


def _flags(data_dir, workdir, *more):
    return small_runs.flags(
        data_dir,
        workdir,
        *("--plan_lanes=8", "--dtype=float32", f"--num_steps={STEPS}"),
        *("--save_every_steps=10", "--log_every_steps=5", "--eval_every_steps=0"),
        *more,
    )


def _weights(workdir):
    tensors, _ = checkpoints.read(checkpoints.path_of(workdir / "checkpoints", STEPS))
    names = sorted(name for name in tensors if name.startswith("model/"))
    return np.concatenate([np.ravel(tensors[name]) for name in names])


def test_killed_and_started_again_the_bits_are_the_same(sharded, tmp_path):
    runs = [tmp_path / name for name in ("whole", "killed")]
    programs.succeed(TRAIN, *_flags(sharded, runs[0], "--deterministic"))
    metrics = runs[1] / "metrics.jsonl"
    programs.stop_when(
        TRAIN,
        *_flags(sharded, runs[1], "--deterministic"),
        ready=lambda: metrics.is_file() and '"step": 25,' in metrics.read_text(),
        number=signal.SIGKILL,
    )
    programs.succeed(TRAIN, *_flags(sharded, runs[1], "--deterministic"))
    np.testing.assert_array_equal(_weights(runs[1]), _weights(runs[0]))


def test_all_gpus_make_the_run_of_one(sharded, tmp_path):
    if len(tf.config.list_physical_devices("GPU")) < 2:
        pytest.skip("needs two GPUs or more")
    runs = [tmp_path / name for name in ("one", "all")]
    programs.succeed(TRAIN, *_flags(sharded, runs[0]))
    programs.succeed(TRAIN, *_flags(sharded, runs[1], "--strategy=mirrored"))
    one, other = map(_weights, runs)
    assert np.linalg.norm(one - other) <= 1e-3 * np.linalg.norm(one)
    summary = json.loads((runs[1] / "summary.json").read_text())
    assert summary["train_step_traces"] == 1
