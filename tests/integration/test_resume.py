"""Promise P2: killed anywhere and started again, a run ends with the same weights."""

import json
import pathlib
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.compat.proto import event_pb2

from tests import damage, programs, small_data, small_runs
from trainers import checkpoints

TRAIN = "trainers.seq2seq"
STEPS = 60


def _flags(data_dir, workdir, *more: str) -> list[str]:
    return small_runs.flags(
        data_dir,
        workdir,
        "--dropout_rate=0.2",
        "--num_buckets=3",
        "--pool_examples=150",
        "--warmup_steps=20",
        "--clip_norm=1",
        f"--num_steps={STEPS}",
        "--log_every_steps=7",
        "--eval_every_steps=16",
        "--save_every_steps=10",
        *more,
    )


def _final(workdir: pathlib.Path) -> dict[str, bytes]:
    """Returns every tensor of the last checkpoint, and the metrics, as bytes."""
    tensors, state = checkpoints.read(
        checkpoints.path_of(workdir / "checkpoints", STEPS)
    )
    content = {name: value.tobytes() for name, value in tensors.items()}
    content["metrics.jsonl"] = (workdir / "metrics.jsonl").read_bytes()
    content["cursor"] = json.dumps(state["cursor"]).encode()
    content["kept"] = json.dumps(checkpoints.steps(workdir / "checkpoints")).encode()
    content["best"] = json.dumps(state["best"]).encode()
    return content


def _summary(workdir: pathlib.Path) -> dict:
    return json.loads((workdir / "summary.json").read_text())


def _noted(workdir: pathlib.Path, what: str) -> list[dict]:
    """Returns what the history of a run says of one kind of change."""
    return [entry for entry in _summary(workdir)["history"] if what in entry]


def _lines(workdir: pathlib.Path) -> list[str]:
    return (workdir / "metrics.jsonl").read_text().splitlines()


@pytest.fixture(scope="module")
def whole(data_dir, tmp_path_factory) -> pathlib.Path:
    """A run that was never stopped."""
    workdir = tmp_path_factory.mktemp("whole")
    programs.succeed(TRAIN, *_flags(data_dir, workdir))
    return workdir


def _reached(workdir: pathlib.Path, step: int):
    def reached() -> bool:
        metrics = workdir / "metrics.jsonl"
        return metrics.is_file() and f'"step": {step},' in metrics.read_text()

    return reached


def test_a_run_has_its_files_and_one_trace(whole):
    summary = _summary(whole)
    assert summary["train_step_traces"] == 1
    assert summary["evaluation_step_traces"] == 1
    assert summary["finished"] == "steps"
    assert summary["step"] == STEPS
    assert summary["batch_shapes"] >= 3
    assert summary["best"]["metric"] == "valid_loss"
    assert summary["epoch"] >= 1
    steps = [json.loads(line)["step"] for line in _lines(whole)]
    assert steps == [7, 14, 16, 21, 28, 32, 35, 42, 48, 49, 56, 60, 60]
    assert list((whole / "events").glob("events.out.tfevents.*"))
    assert (whole / "run.flags").is_file()


def _tags(events: pathlib.Path) -> set[str]:
    """Returns what TensorBoard finds in a directory."""
    return {
        value.tag
        for path in events.glob("events.out.tfevents.*")
        for serialized in tf.data.TFRecordDataset(str(path))
        for value in event_pb2.Event.FromString(serialized.numpy()).summary.value
    }


def test_tensorboard_finds_curves_lengths_and_samples(whole):
    assert _tags(whole / "events") >= {
        *("loss", "learning_rate", "tgt_tokens_per_sec", "gradient_norm"),
        *("tokens/source", "tokens/target"),
    }
    assert _tags(whole / "events" / "valid") >= {"loss", "bleu", "samples"}


@pytest.mark.long
@pytest.mark.parametrize("step", [7, 49])
def test_killed_and_started_again_it_ends_with_the_same_bytes(
    data_dir, whole, tmp_path, step
):
    """FAULTS 40, 47 and 50: before the first checkpoint, and in two epochs."""
    flags = _flags(data_dir, tmp_path)
    programs.kill_when(
        TRAIN,
        *flags,
        ready=_reached(tmp_path, step),
    )
    programs.succeed(TRAIN, *flags)
    assert _final(tmp_path) == _final(whole)
    assert _summary(tmp_path)["train_step_traces"] == 1


def test_stopped_by_sigterm_it_saves_says_75_and_goes_on_exactly(
    data_dir, whole, tmp_path
):
    """FAULTS 38, the signal coming again and again until all is saved and summed up.

    And 53: the largest batches are tried before any is trained on.
    """
    flags = _flags(data_dir, tmp_path)
    code, errors = programs.stop_when(
        *(TRAIN, *flags, "--profile_steps=15-60"),
        ready=_reached(tmp_path, 21),
        number=signal.SIGTERM,
        until=(tmp_path / "summary.json").exists,
    )
    assert code == 75, errors
    assert errors.count("stopped by SIGTERM after step") == 1
    assert "profile of steps written" in errors  # of those there were
    assert "tried the largest batches, " in errors
    summary = _summary(tmp_path)
    assert summary["finished"] == "preempted"
    saved = checkpoints.steps(tmp_path / "checkpoints")
    assert saved[-1] == summary["step"]
    programs.succeed(TRAIN, *flags)
    assert _final(tmp_path) == _final(whole)
    assert _summary(tmp_path)["num_resumes"] == 1


@pytest.mark.long
def test_a_flipped_bit_in_the_newest_checkpoint_costs_steps_and_no_exactness(
    data_dir, whole, tmp_path
):
    """FAULTS 42."""
    flags = _flags(data_dir, tmp_path)
    programs.kill_when(
        TRAIN,
        *flags,
        ready=_reached(tmp_path, 42),
    )
    newest = checkpoints.steps(tmp_path / "checkpoints")[-1]
    data = tmp_path / "checkpoints" / f"ckpt-{newest}.data-00000-of-00001"
    damage.flip_a_bit(data)
    done = programs.run(TRAIN, *flags)
    assert done.returncode == 0, done.stderr
    assert "it is damaged" in done.stderr
    assert _final(tmp_path) == _final(whole)


@pytest.mark.long
def test_more_steps_go_on_and_a_finished_run_does_nothing(data_dir, tmp_path):
    """FAULTS 46."""
    programs.succeed(TRAIN, *_flags(data_dir, tmp_path, "--num_steps=10"))
    before = (tmp_path / "metrics.jsonl").read_bytes()
    again = programs.run(TRAIN, *_flags(data_dir, tmp_path, "--num_steps=10"))
    assert again.returncode == 0
    assert "already finished at step 10" in again.stderr
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    programs.succeed(TRAIN, *_flags(data_dir, tmp_path, "--num_steps=12"))
    assert _summary(tmp_path)["step"] == 12


@pytest.mark.long
def test_new_data_is_gone_on_with_only_when_asked_for(data_dir, own_data_dir, tmp_path):
    """FAULTS 45: weights stay, the data begins anew, the run remembers.

    What was the best on other valid data, 0 right here and there, is no best here.
    """
    vocabulary = own_data_dir / "shared.model"
    assert vocabulary.read_bytes() != (data_dir / "shared.model").read_bytes()
    other = small_data.make(
        tmp_path / "other", count=80, spm_model=data_dir / "shared.model", seed=4
    )
    workdir = tmp_path / "work"
    judged = "--best_metric=exact_match"
    programs.succeed(TRAIN, *_flags(data_dir, workdir, judged, "--num_steps=10"))
    more = _flags(other, workdir, judged, "--num_steps=12", "--tokens_per_batch=300")
    refused = programs.run(TRAIN, *more)
    assert refused.returncode == 78
    assert "--new_data" in refused.stderr
    programs.succeed(TRAIN, *more, "--new_data")
    assert _summary(workdir)["best"]["step"] == 12
    foreign = _flags(own_data_dir, workdir, judged, "--num_steps=12", "--new_data")
    another = programs.run(TRAIN, *foreign)
    assert another.returncode == 78  # its ids would mean other words
    assert "vocabulary: " in another.stderr
    summary = _summary(workdir)
    assert (summary["step"], summary["epoch"]) == (12, 0)
    assert [entry["step"] for entry in _noted(workdir, "new_data")] == [10]
    again = programs.run(TRAIN, *more, "--new_data", "--num_steps=14")
    assert again.returncode == 0, again.stderr  # the new data is the run's by now
    assert len(_noted(workdir, "new_data")) == 1


@pytest.mark.long
def test_a_run_that_gets_no_better_ends_early_and_stays_ended(data_dir, tmp_path):
    flags = _flags(
        data_dir,
        tmp_path,
        "--best_metric=exact_match",  # stays 0
        "--eval_every_steps=4",
        "--eval_examples=2",
        "--patience=2",
    )
    programs.succeed(TRAIN, *flags)
    summary = _summary(tmp_path)
    assert (summary["finished"], summary["step"]) == ("early_stop", 12)
    again = programs.run(TRAIN, *flags)
    assert again.returncode == 0
    assert "already finished at step 12" in again.stderr


def test_a_summary_that_a_kill_prevented_is_written_later(whole, data_dir, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    wanted = _summary(whole)
    # What a process before it had written is no measurement of this one.
    before = {**wanted, "step": 1, "finished": "preempted"}
    (copy / "summary.json").write_text(json.dumps(before))
    programs.succeed(TRAIN, *_flags(data_dir, copy, "--log_every_steps=5"))
    found = _summary(copy)
    assert found.keys() == wanted.keys()
    for name in ("step", "epoch", "finished", "best", "num_weights", "plan_digest"):
        assert found[name] == wanted[name]
    for name in ("tgt_tokens_per_sec", "padding_fraction", "input_wait_fraction"):
        assert found[name] is None
    # FAULTS 44: a flag that may change is, and is noted.
    (noted,) = found["history"]
    assert noted["step"] == found["step"]
    assert noted["flags"]["--log_every_steps"] == "7 -> 5"


@pytest.mark.long
def test_a_full_disk_under_a_log_is_one_line_and_exit_code_74(data_dir, tmp_path):
    """FAULTS 43: checkpoints fit, metrics.jsonl does not grow."""
    programs.succeed(TRAIN, *_flags(data_dir, tmp_path, "--num_steps=10"))
    metrics = tmp_path / "metrics.jsonl"
    metrics.unlink()
    metrics.mkdir()
    done = programs.run(TRAIN, *_flags(data_dir, tmp_path, "--num_steps=20"))
    assert done.returncode == 74, done.stderr
    assert "a log cannot be written" in done.stderr
    metrics.rmdir()
    programs.succeed(TRAIN, *_flags(data_dir, tmp_path, "--num_steps=20"))
    assert _summary(tmp_path)["step"] == 20


@pytest.mark.long
def test_another_machine_is_warned_of_and_noted(data_dir, tmp_path):
    """FAULTS 48."""
    programs.succeed(TRAIN, *_flags(data_dir, tmp_path, "--num_steps=10"))
    more = _flags(data_dir, tmp_path, "--num_steps=12")
    done = programs.run(TRAIN, *more, TF_ENABLE_ONEDNN_OPTS="0")
    assert done.returncode == 0, done.stderr
    assert "another machine than before (onednn:  -> 0)" in done.stderr
    assert _noted(tmp_path, "machine") == [{"step": 10, "machine": {"onednn": " -> 0"}}]


@pytest.mark.long
def test_memory_stays_within_bounds_over_5000_steps(data_dir, tmp_path):
    """The allocator goes on settling; a batch leaked at each step would be far more."""
    programs.succeed(
        TRAIN,
        *_flags(data_dir, tmp_path, "--num_steps=5000", "--log_every_steps=100"),
        *("--eval_every_steps=100", "--eval_examples=4", "--save_every_steps=250"),
    )
    lines = map(json.loads, (tmp_path / "timing.jsonl").read_text().splitlines())
    peaks = {line["step"]: line["peak_rss_mb"] for line in lines}
    steps = [step for step in peaks if step >= 2000]
    slope = np.polyfit(steps, [peaks[step] for step in steps], 1)[0]
    assert slope * 1000 < 4, peaks  # MiB in a thousand steps
    assert peaks[5000] < 1.02 * peaks[2000]


@pytest.mark.long
def test_a_moved_workdir_goes_on(data_dir, whole, tmp_path):
    """FAULTS 55."""
    flags = _flags(data_dir, tmp_path / "here")
    programs.stop_when(
        TRAIN, *flags, ready=_reached(tmp_path / "here", 35), number=signal.SIGTERM
    )
    (tmp_path / "here").rename(tmp_path / "there")
    programs.succeed(TRAIN, *_flags(data_dir, tmp_path / "there"))
    assert _final(tmp_path / "there") == _final(whole)


@pytest.mark.long
def test_run_flags_repeat_the_run(whole, tmp_path):
    programs.succeed(
        TRAIN, f"--flagfile={whole / 'run.flags'}", f"--workdir={tmp_path / 'again'}"
    )
    assert _final(tmp_path / "again") == _final(whole)


def test_other_flags_or_data_are_refused_with_the_differences(
    data_dir, own_data_dir, whole
):
    """FAULTS 44 and 45."""
    before = (whole / "run.flags").read_bytes()
    for changed, message in (
        (
            _flags(data_dir, whole, "--dropout_rate=0.3"),
            "--dropout_rate: 0.2 there, 0.3",
        ),
        (_flags(data_dir, whole, "--seed=2"), "--seed: 1 there, 2 asked"),
        (_flags(data_dir, whole, "--d_model=24"), "--d_model: 16 there, 24 asked"),
        (_flags(own_data_dir, whole), "data: "),
    ):
        done = programs.run(TRAIN, *changed)
        assert done.returncode == 78, done.stderr
        assert message in done.stderr
    assert (whole / "run.flags").read_bytes() == before


def test_of_two_runs_in_one_workdir_the_second_is_refused(data_dir, tmp_path):
    """FAULTS 49."""
    flags = _flags(data_dir, tmp_path)
    first = subprocess.Popen(
        programs.command(TRAIN, *flags), cwd=programs.ROOT, stderr=subprocess.DEVNULL
    )
    with first:
        programs.wait_until((tmp_path / ".lock").exists, first)
        time.sleep(0.2)
        second = programs.run(TRAIN, *flags)
        assert second.returncode == 73, second.stderr
        first.kill()


@pytest.mark.long
def test_a_time_limit_ends_the_run_and_counts_over_resumes(data_dir, tmp_path):
    flags = _flags(data_dir, tmp_path, "--num_steps=100000", "--max_train_secs=4")
    programs.succeed(TRAIN, *flags)
    summary = _summary(tmp_path)
    assert summary["finished"] == "time"
    assert summary["wall_secs"] >= 4
    again = programs.run(TRAIN, *flags)
    assert "already finished" in again.stderr


@pytest.mark.long
def test_a_rate_far_too_high_ends_with_70_or_a_finite_loss(data_dir, tmp_path):
    """FAULTS 37."""
    flags = _flags(
        data_dir, tmp_path, "--learning_rate=9", "--warmup_steps=0", "--clip_norm=0"
    )
    done = programs.run(TRAIN, *flags)
    assert done.returncode in (0, 70), done.stderr
    for line in _lines(tmp_path):
        assert "NaN" not in line
