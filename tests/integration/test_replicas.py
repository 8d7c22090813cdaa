"""Several replicas in one process or in several: the same run, up to rounding.

Devices are parts of one processor, workers processes joined over loopback.
"""

import json
import os
import pathlib
import signal
import subprocess
import time

import numpy as np
import pytest

from pipeline import fail_points
from tests import programs, small_data, small_runs
from trainers import checkpoints

TRAIN = "trainers.seq2seq"
STEPS = 30


@pytest.fixture(scope="module")
def sharded(tmp_path_factory) -> pathlib.Path:
    """A small data directory of which every lane gets a shard."""
    return small_data.make(tmp_path_factory.mktemp("sharded"), num_shards=8)


def _flags(data_dir, workdir, *more: str) -> list[str]:
    return small_runs.flags(
        data_dir,
        workdir,
        "--dropout_rate=0.2",
        "--num_buckets=3",
        "--plan_lanes=4",
        "--clip_norm=1",
        "--ema_decay=0.9",
        # The gradient of keys' biases is 0 by symmetry; with less, Adam would make full
        # steps of its rounding.
        "--epsilon=1e-4",
        f"--num_steps={STEPS}",
        "--log_every_steps=5",
        "--eval_every_steps=15",
        "--eval_examples=8",
        "--save_every_steps=10",
        *more,
    )


def _mirrored(count: int) -> list[str]:
    return ["--strategy=mirrored", f"--cpu_devices={count}"]


@pytest.fixture(scope="module")
def alone(sharded, tmp_path_factory) -> pathlib.Path:
    """A run with one replica."""
    workdir = tmp_path_factory.mktemp("alone")
    programs.succeed(TRAIN, *_flags(sharded, workdir))
    return workdir


def _tensors(workdir, step=STEPS) -> dict[str, np.ndarray]:
    tensors, _ = checkpoints.read(checkpoints.path_of(workdir / "checkpoints", step))
    return tensors


def _assert_same(workdir, wanted, tolerance=1e-5):
    """Weights agree to a share of the norm of all, the rest of the run exactly."""
    found, expected = _tensors(workdir), _tensors(wanted)
    assert found.keys() == expected.keys()
    names = [name for name in expected if name.startswith("model/")]
    norms = [
        np.linalg.norm(
            np.concatenate([np.ravel(of[name]).astype(np.float64) for name in names])
        )
        for of in (
            {name: found[name] - expected[name] for name in names},
            expected,
        )
    ]
    assert norms[0] <= tolerance * norms[1]
    lines = [
        [
            json.loads(line)
            for line in (path / "metrics.jsonl").read_text().split("\n")[:-1]
        ]
        for path in (workdir, wanted)
    ]
    for one, other in zip(*lines, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert value == pytest.approx(other[name], rel=1e-3), name


def _assert_one_trace(*workdirs):
    for workdir in workdirs:
        summary = json.loads((workdir / "summary.json").read_text())
        assert summary["train_step_traces"] == 1
        assert summary["step"] == STEPS


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.long)])
def test_devices_of_one_host_make_the_run_of_one(sharded, alone, tmp_path, count):
    """FAULTS 35; dropout is on."""
    programs.succeed(TRAIN, *_flags(sharded, tmp_path, *_mirrored(count)))
    _assert_same(tmp_path, alone)
    _assert_one_trace(tmp_path)


@pytest.mark.long
def test_an_lstm_trains_on_devices_of_one_host(sharded, tmp_path):
    more = ("--model=rnn", "--cell=lstm", "--num_steps=2")
    programs.succeed(TRAIN, *_flags(sharded, tmp_path, *_mirrored(2), *more))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["step"], summary["train_step_traces"]) == (2, 1)


@pytest.mark.parametrize(
    ("parts", "flags"),
    [
        pytest.param(1, _mirrored(2), marks=pytest.mark.long),
        pytest.param(1, _mirrored(4), marks=pytest.mark.long),
        pytest.param(2, _mirrored(2), marks=pytest.mark.long),
        pytest.param(1, [*_mirrored(2), "--dtype=float16"], marks=pytest.mark.long),
    ],
    ids=str,
)
def test_the_gradient_is_that_of_the_whole_batch(sharded, tmp_path, parts, flags):
    """With plain gradient descent at rate 1 a step is the gradient."""
    plain = [
        "--optimizer=sgd",
        "--momentum=0",
        "--schedule=constant",
        "--warmup_steps=0",
        "--learning_rate=1",
        "--clip_norm=0",
        "--save_every_steps=1",
        "--num_steps=1",
        "--eval_every_steps=0",
        "--dropout_rate=0",
        f"--accumulate_steps={parts}",
    ]
    workdirs = [tmp_path / name for name in ("one", "other")]
    programs.succeed(TRAIN, *_flags(sharded, workdirs[0], *plain))
    programs.succeed(TRAIN, *_flags(sharded, workdirs[1], *plain, *flags))
    one, other = (_tensors(workdir, 1) for workdir in workdirs)
    names = [name for name in one if name.startswith("model/")]
    assert names
    difference = np.sqrt(sum(np.sum((one[n] - other[n]) ** 2) for n in names))
    line = (workdirs[0] / "metrics.jsonl").read_text().split("\n")[0]
    norm = json.loads(line)["gradient_norm"]
    loose = "--dtype=float16" in flags
    assert norm > 0.01
    assert difference <= (1e-2 if loose else 1e-5) * norm


@pytest.mark.long
def test_killed_with_two_replicas_and_started_again_the_bits_are_the_same(
    sharded, tmp_path
):
    """Promise P2, FAULTS 35."""
    runs = [tmp_path / name for name in ("whole", "killed")]
    programs.succeed(TRAIN, *_flags(sharded, runs[0], *_mirrored(2)))
    killed = programs.run(
        TRAIN,
        *_flags(sharded, runs[1], *_mirrored(2)),
        **{fail_points.VARIABLE: "log.after:3"},
    )
    assert killed.returncode == fail_points.KILLED, killed.stderr
    done = programs.run(TRAIN, *_flags(sharded, runs[1], *_mirrored(2)))
    assert done.returncode == 0, done.stderr
    assert "resumed after step 10" in done.stderr
    whole, again = map(_tensors, runs)
    assert whole.keys() == again.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)
    lines = [(run / "metrics.jsonl").read_bytes() for run in runs]
    assert lines[0] == lines[1]


@pytest.mark.long
def test_a_run_moves_between_numbers_of_replicas(sharded, alone, tmp_path):
    """FAULTS 35: killed with two, it goes on with one."""
    metrics = tmp_path / "metrics.jsonl"
    programs.kill_when(
        TRAIN,
        *_flags(sharded, tmp_path, *_mirrored(2)),
        ready=lambda: metrics.is_file() and '"step": 15,' in metrics.read_text(),
    )
    done = programs.run(TRAIN, *_flags(sharded, tmp_path))
    assert done.returncode == 0, done.stderr
    assert "replicas: 2 -> 1" in done.stderr
    _assert_same(tmp_path, alone)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([*_mirrored(3)], "--plan_lanes=4: 3 replicas do not divide it"),
        (["--strategy=multiworker"], "neither TF_CONFIG nor Slurm"),
        ([*_mirrored(2), "--xla"], "--xla is not for --strategy=mirrored"),
    ],
)
def test_what_replicas_cannot_do_is_one_line(sharded, tmp_path, flags, says):
    done = programs.run(TRAIN, *_flags(sharded, tmp_path, *flags))
    assert done.returncode == 64, done.stderr
    assert says in done.stderr
    assert len(done.stderr.strip().split("\n")) == 1


def _launched(num_workers: int, *command: str) -> list[str]:
    return [
        *programs.command("trainers.launch", f"--num_workers={num_workers}"),
        "--",
        TRAIN,
        *command,
        "--strategy=multiworker",
    ]


def _launch(num_workers: int, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _launched(num_workers, *flags),
        cwd=programs.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def _children(process: subprocess.Popen) -> list[int]:
    path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()]


@pytest.mark.long
@pytest.mark.parametrize(
    ("num_workers", "lost"),
    [(2, 1), (2, 0)],
)
def test_a_lost_worker_ends_the_run_which_goes_on_exactly(
    sharded, alone, tmp_path, num_workers, lost
):
    """FAULTS 35: kill -9 of one of two processes; then the same command."""
    flags = _flags(sharded, tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    with subprocess.Popen(
        _launched(num_workers, *flags),
        cwd=programs.ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if metrics.is_file() and '"step": 15,' in metrics.read_text():
                break
            time.sleep(0.01)
        os.kill(_children(process)[lost], signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    done = _launch(num_workers, *flags)
    assert done.returncode == 0, done.stderr
    assert "resumed after step" in done.stderr
    _assert_same(tmp_path, alone)
    others = [tmp_path / "workers" / str(k) for k in range(1, num_workers)]
    _assert_one_trace(tmp_path, *others)


@pytest.mark.long
def test_three_workers_make_the_run_of_one(sharded, tmp_path):
    runs = [tmp_path / name for name in ("alone", "three")]
    lanes = "--plan_lanes=3"
    programs.succeed(TRAIN, *_flags(sharded, runs[0], lanes))
    done = _launch(3, *_flags(sharded, runs[1], lanes))
    assert done.returncode == 0, done.stderr
    _assert_same(runs[1], runs[0])
    _assert_one_trace(runs[1], *(runs[1] / "workers" / str(k) for k in (1, 2)))


@pytest.mark.long
def test_a_signal_to_one_worker_saves_and_ends_all(sharded, alone, tmp_path):
    flags = _flags(sharded, tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    with subprocess.Popen(
        _launched(2, *flags), cwd=programs.ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if metrics.is_file() and '"step": 5,' in metrics.read_text():
                break
            time.sleep(0.01)
        os.kill(_children(process)[1], signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    assert "stopped by SIGTERM" in errors
    assert "a signal to another worker" in errors
    done = _launch(2, *flags)
    assert done.returncode == 0, done.stderr
    _assert_same(tmp_path, alone)


@pytest.mark.long
def test_what_a_worker_refuses_is_the_code_of_all(sharded, tmp_path):
    assert _launch(2, *_flags(sharded, tmp_path)).returncode == 0
    done = _launch(2, *_flags(sharded, tmp_path, "--d_model=24"))
    assert done.returncode == 78, done.stderr
    assert "--d_model: 16 there, 24 asked" in done.stderr


@pytest.mark.long
def test_devices_can_be_split_where_the_data_is_remote(sharded, tmp_path):
    """TensorFlow has read the manifest by then; it must not have looked for devices."""
    more = (*_mirrored(2), "--num_steps=2")
    programs.succeed(TRAIN, *_flags(f"file://{sharded}", tmp_path, *more))


@pytest.mark.long
def test_workers_judge_alike_where_the_best_cannot_be_kept(sharded, tmp_path):
    """FAULTS 35: only the chief writes it, and only the chief sees that it cannot."""
    (tmp_path / "best").write_text("not a directory")
    more = ("--plan_lanes=2", "--eval_every_steps=5", "--num_steps=10", "--patience=9")
    done = _launch(2, *_flags(sharded, tmp_path, *more))
    assert done.returncode == 0, done.stderr
    assert "best checkpoint not saved" in done.stderr
    for path in (tmp_path, tmp_path / "workers" / "1"):
        assert json.loads((path / "summary.json").read_text())["best"] is None
