"""Promise P2 at every place where a kill could hurt, with everything on.

Dropout, accumulation, weight decay, moving average, plateau and patience are all in
play; each run is killed at one named place (`pipeline/fail_points.py`) and started
again, and must end with the bytes of the run that was never killed.
"""

import json
import pathlib
import signal

import pytest

from pipeline import exits, fail_points
from tests import damage, programs, small_runs
from trainers import checkpoints

TRAIN = "trainers.seq2seq"
STEPS = 60

# The place, how often it is reached before, and whether `make test` has it too.
PLACES = [
    ("log.before", 3, False),
    ("log.between", 2, False),
    ("log.after", 5, False),
    ("validation.before", 2, False),
    ("validation.logged", 2, False),
    ("validation.after", 1, False),
    ("checkpoint.write.before", 2, False),
    ("checkpoint.write.after", 3, False),
    ("checkpoint.data.before", 4, False),
    ("checkpoint.index.before", 5, True),
    ("checkpoint.ready.between", 4, False),
    ("checkpoint.index.after", 6, False),
    ("checkpoint.remove", 1, False),
    ("checkpoint.remove", 3, False),
    ("summary.before", 1, False),
]
MATRIX = [
    pytest.param(f"{place}:{count}", marks=() if short else pytest.mark.long)
    for place, count, short in PLACES
]


def _flags(data_dir, workdir) -> list[str]:
    return small_runs.flags(
        data_dir,
        workdir,
        "--dropout_rate=0.2",
        "--tokens_per_batch=256",
        "--num_buckets=3",
        "--pool_examples=150",
        "--learning_rate=2e-2",
        "--clip_norm=1",
        "--accumulate_steps=2",
        "--optimizer=adamw",
        "--weight_decay=0.01",
        "--ema_decay=0.9",
        "--schedule=plateau",
        "--plateau_patience=1",
        "--plateau_factor=0.9",
        "--best_metric=exact_match",  # stays 0, so that there is a plateau
        "--patience=50",
        f"--num_steps={STEPS}",
        "--log_every_steps=7",
        "--eval_every_steps=8",
        "--eval_examples=4",
        "--save_every_steps=10",
        "--keep_checkpoints=2",
    )


def _final(workdir: pathlib.Path) -> dict[str, object]:
    """Returns every tensor, what the run knows of itself, and its logs."""
    found: dict[str, object] = {}
    for kind in ("checkpoints", "best"):
        steps = checkpoints.steps(workdir / kind)
        found[f"{kind} kept"] = steps
        path = checkpoints.path_of(workdir / kind, steps[-1])
        tensors, state = checkpoints.read(path)
        found |= {f"{kind} {name}": v.tobytes() for name, v in tensors.items()}
        for clock in ("secs", "num_resumes", "history"):
            state.pop(clock, None)
        found[f"{kind} state"] = state
    for name in ("metrics.jsonl", "samples.txt"):
        found[name] = (workdir / name).read_bytes()
    timed = (workdir / "timing.jsonl").read_text().splitlines()
    found["timed"] = [json.loads(line)["step"] for line in timed]
    return found


@pytest.fixture(scope="module")
def workdir(data_dir, tmp_path_factory) -> pathlib.Path:
    """A run that was never stopped."""
    path = tmp_path_factory.mktemp("whole")
    programs.succeed(TRAIN, *_flags(data_dir, path))
    return path


@pytest.fixture(scope="module")
def whole(workdir) -> dict[str, object]:
    """What such a run leaves."""
    found = _final(workdir)
    assert found["checkpoints kept"] == [50, 60]
    assert found["checkpoints state"]["rate_factor"] < 1  # there was a plateau
    assert any(name.startswith("checkpoints ema/") for name in found)
    return found


def _check(workdir: pathlib.Path, whole: dict[str, object]) -> None:
    found = _final(workdir)
    assert {name for name in whole if found.get(name) != whole[name]} == set()
    assert found.keys() == whole.keys()
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["step"] == STEPS
    assert summary["finished"] == "steps"


@pytest.mark.long
def test_a_moving_average_is_what_is_validated_and_decoded(workdir):
    def loss(*flags: str) -> tuple[float, str]:
        page = programs.succeed(
            "trainers.evaluate", f"--workdir={workdir}", "--checkpoints=last", *flags
        )
        result = json.loads(page.splitlines()[-1])
        return result["loss"], result["checkpoints"]

    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    validated = [line["valid_loss"] for line in lines if "valid_loss" in line][-1]
    averaged, told = loss()
    assert averaged == pytest.approx(validated, rel=1e-5)
    assert told == "ckpt-60 (last, moving average)"
    raw, told = loss("--raw_weights")
    assert raw != pytest.approx(averaged, rel=1e-4)
    assert told == "ckpt-60 (last)"


@pytest.mark.parametrize("place", MATRIX)
def test_killed_at_any_place_it_ends_with_the_same_bytes(
    data_dir, whole, tmp_path, place
):
    """FAULTS 40 and 50."""
    flags = _flags(data_dir, tmp_path)
    killed = programs.run(TRAIN, *flags, **{fail_points.VARIABLE: place})
    assert killed.returncode == fail_points.KILLED, killed.stderr
    programs.succeed(TRAIN, *flags)
    _check(tmp_path, whole)


@pytest.mark.long
def test_killed_again_and_again_and_bitten_it_ends_with_the_same_bytes(
    data_dir, whole, tmp_path
):
    """FAULTS 40, 42 and 47: three kills, and a flipped bit in the newest checkpoint."""
    flags = _flags(data_dir, tmp_path)
    for place in ("checkpoint.index.after:3", "log.after:2", "validation.logged:1"):
        killed = programs.run(TRAIN, *flags, **{fail_points.VARIABLE: place})
        assert killed.returncode == fail_points.KILLED, killed.stderr
    newest = checkpoints.steps(tmp_path / "checkpoints")[-1]
    (data,) = (tmp_path / "checkpoints").glob(f"ckpt-{newest}.data-*")
    damage.flip_a_bit(data)
    done = programs.run(TRAIN, *flags)
    assert done.returncode == 0, done.stderr
    assert "set aside, it is damaged" in done.stderr
    _check(tmp_path, whole)


def _validated(workdir: pathlib.Path):
    def reached() -> bool:
        metrics = workdir / "metrics.jsonl"
        return metrics.is_file() and "valid_loss" in metrics.read_text()

    return reached


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_stopped_by_a_signal_it_ends_with_the_same_bytes(
    data_dir, whole, tmp_path, number
):
    """FAULTS 38."""
    flags = _flags(data_dir, tmp_path)
    code, errors = programs.stop_when(
        TRAIN, *flags, ready=_validated(tmp_path), number=number
    )
    assert code == exits.PREEMPTED, errors
    programs.succeed(TRAIN, *flags)
    _check(tmp_path, whole)


def test_stopped_while_it_starts_it_says_75_and_begins_later(data_dir, tmp_path):
    """FAULTS 38: in the first trace."""
    flags = _flags(data_dir, tmp_path)
    code, errors = programs.stop_when(
        TRAIN,
        *flags,
        ready=(tmp_path / ".lock").exists,
        number=signal.SIGTERM,
    )
    assert code == exits.PREEMPTED, errors
    assert "stopped by SIGTERM" in errors
