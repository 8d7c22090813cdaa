import contextlib
import errno

import pytest
import tensorflow as tf

from pipeline import config as pipeline_config
from pipeline import exits, progress
from trainers import (
    actions,
    checkpoints,
    clock,
    config,
    optimizer_config,
    run_directory,
    run_state,
    signals,
    strategy_config,
    validation,
)
from trainers.models import config as model_config


class Disk:
    """Saves that fail while it is full."""

    def __init__(self):
        self.full = False
        self.saved = []

    def save(self, step):
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device", "ckpt")
        self.saved.append(step)


@pytest.fixture
def stop():
    request = signals.StopRequest.__new__(signals.StopRequest)
    request.reason = None
    return request


def _save(disk, stop, state=None, **changes):
    settings = {
        "data_dir": "d",
        "workdir": "w",
        "save_every_steps": 10,
        "save_every_secs": 1000.0,
        "num_steps": 100,
    } | changes
    return actions.Save(
        disk.save,
        stop,
        state or run_state.RunState({}),
        clock.Clock(0.0),
        config.RunConfig(**settings),
    )


def test_it_saves_every_so_many_steps_and_at_the_end(stop):
    disk = Disk()
    save = _save(disk, stop, num_steps=25)
    for step in range(1, 26):
        save(step)
    assert disk.saved == [10, 20, 25]


def test_it_saves_when_the_time_is_due(stop):
    disk = Disk()
    save = _save(disk, stop, save_every_secs=1e-9)
    save(1)
    assert disk.saved == [1]


def test_asked_to_stop_it_saves_and_ends_the_run(stop):
    """FAULTS 38."""
    disk = Disk()
    save = _save(disk, stop)
    stop.reason = "SIGTERM"
    with pytest.raises(exits.Refusal, match="SIGTERM after step 3") as error:
        save(3)
    assert error.value.code == exits.PREEMPTED
    assert disk.saved == [3]


def test_out_of_time_it_saves_and_ends_the_run(stop):
    disk = Disk()
    with pytest.raises(actions.FinishedError, match="time"):
        _save(disk, stop, max_train_secs=1e-9)(3)
    assert disk.saved == [3]


def test_a_run_that_gets_no_better_is_saved_and_ends(stop):
    disk = Disk()
    state = run_state.RunState({}, early_stop=True)
    with pytest.raises(actions.FinishedError, match="early_stop"):
        _save(disk, stop, state)(3)
    assert disk.saved == [3]


def test_a_full_disk_is_survived_until_there_is_room_again(stop):
    """FAULTS 43."""
    disk = Disk()
    save = _save(disk, stop)
    disk.full = True
    save(10)
    save(20)
    disk.full = False
    save(30)
    disk.full = True
    save(40)
    assert disk.saved == [30]


def test_a_disk_that_stays_full_ends_the_run(stop):
    """FAULTS 43."""
    disk = Disk()
    disk.full = True
    save = _save(disk, stop)
    save(10)
    save(20)
    with pytest.raises(exits.Refusal, match="step 30 could not be saved") as error:
        save(30)
    assert error.value.code == exits.DISK


def test_the_last_save_must_succeed(stop):
    disk = Disk()
    disk.full = True
    with pytest.raises(exits.Refusal) as error:
        _save(disk, stop)(100)
    assert error.value.code == exits.DISK


class Validated:
    """Validations whose losses are known."""

    def __init__(self, *losses):
        self.losses = iter(losses)

    def __call__(self):
        loss = next(self.losses)
        if loss is None:
            raise validation.StoppedError
        metrics = {"loss": loss, "bleu": 100 - loss, "token_accuracy": 0.5}
        return validation.Result(metrics, f"  said {loss}\n\n")


class Step(tf.Module):
    """A module that can be saved, without an average."""

    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(1.0)

    def averaged_weights(self):
        return contextlib.nullcontext()


def _evaluate(tmp_path, state, *losses, schedule=None, **changes):
    settings = {"eval_every_steps": 1} | changes
    asked = config.Seq2SeqConfig(
        run=config.RunConfig(data_dir="d", workdir=str(tmp_path), num_steps=1000),
        distribution=strategy_config.StrategyConfig(),
        start=config.StartConfig(),
        validation=config.ValidationConfig(**settings),
        model=model_config.ModelConfig(),
        batch=pipeline_config.BatchConfig(),
        optimizer=optimizer_config.OptimizerConfig(),
        schedule=schedule or optimizer_config.ScheduleConfig(),
    )
    return actions.Evaluate(
        Step(),
        Validated(*losses),
        run_directory.RunDirectory(tmp_path),
        state,
        clock.Clock(0.0),
        progress.Progress("testing", unit="steps"),
        asked,
    )


def test_best_holds_what_was_just_found_best_whatever_was_there(tmp_path):
    """An earlier attempt may have left a best checkpoint of a later step."""
    best = tmp_path / "best"
    checkpoints.save(best, 500, {"weight": tf.Variable(1.0)}, {})
    _evaluate(tmp_path, run_state.RunState({}), 2.0)(200)
    assert checkpoints.steps(best) == [200]


@pytest.mark.parametrize(
    ("metric", "best"), [("loss", 2), ("bleu", 2), ("token_accuracy", 1)]
)
def test_the_best_step_is_that_of_the_metric_asked_for(tmp_path, metric, best):
    state = run_state.RunState({})
    evaluate = _evaluate(tmp_path, state, 3.0, 1.0, 2.0, best_metric=metric)
    for step in (1, 2, 3):
        evaluate(step)
    assert state.best["step"] == best
    assert checkpoints.steps(tmp_path / "best") == [best]


def test_patience_counts_validations_that_are_not_better(tmp_path):
    state = run_state.RunState({})
    losses = [3.0, 3.0, 2.0, 2.5, float("nan")]
    evaluate = _evaluate(tmp_path, state, *losses, patience=2)
    for step in range(1, 6):
        assert not state.early_stop
        evaluate(step)
    assert state.early_stop


def test_on_a_plateau_the_rate_falls(tmp_path):
    state = run_state.RunState({})
    schedule = optimizer_config.ScheduleConfig(
        schedule="plateau", plateau_patience=2, plateau_factor=0.5
    )
    losses = [3.0, 3.0, 3.0, 3.0, 3.0, 1.0]
    evaluate = _evaluate(tmp_path, state, *losses, schedule=schedule)
    factors = []
    for step in range(1, 7):
        evaluate(step)
        factors.append(state.rate_factor)
    assert factors == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_a_validation_cut_short_is_owed(tmp_path):
    """FAULTS 38."""
    state = run_state.RunState({})
    evaluate = _evaluate(tmp_path, state, None, 2.0, eval_every_steps=10)
    evaluate(10)
    assert state.unvalidated == 10
    assert state.best is None
    evaluate(10)
    assert state.unvalidated is None
    assert state.best["step"] == 10


def test_samples_are_kept_by_step_and_cut_with_the_logs(tmp_path):
    evaluate = _evaluate(tmp_path, run_state.RunState({}), 3.0, 2.0)
    evaluate(1)
    evaluate(2)
    path = tmp_path / "samples.txt"
    assert path.read_text() == "== step 1\n\n  said 3.0\n\n== step 2\n\n  said 2.0\n\n"
    run_directory.RunDirectory(tmp_path).truncate_logs(1)
    assert path.read_text() == "== step 1\n\n  said 3.0\n\n"


def test_a_best_checkpoint_that_cannot_be_saved_is_not_the_best(tmp_path, caplog):
    """FAULTS 43."""
    (tmp_path / "best").write_text("in the way")
    state = run_state.RunState({})
    _evaluate(tmp_path, state, 3.0)(1)
    assert state.best is None


def test_a_validation_that_is_repeated_is_logged_once(tmp_path):
    """FAULTS 50: a signal cut it short, and a kill came after it was made up for."""
    directory = run_directory.RunDirectory(tmp_path)
    directory.append("metrics.jsonl", {"step": 10, "loss": 2.0})
    before = (tmp_path / "metrics.jsonl").read_bytes()
    _evaluate(tmp_path, run_state.RunState({}), 3.0)(10)
    directory.truncate_logs(10)
    assert b"valid_loss" in (tmp_path / "metrics.jsonl").read_bytes()
    directory.truncate_logs(10, unvalidated=10)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert (tmp_path / "samples.txt").read_text() == ""


def test_a_run_whose_steps_were_all_skipped_does_not_end_well():
    """FAULTS 37: shorter than --max_bad_steps."""
    step = Step()
    step.most_skipped_in_row = tf.Variable(7, dtype=tf.int64)
    actions.Watch(step, 100, last_step=8)(8)
    with pytest.raises(exits.Refusal, match="7 steps in a row"):
        actions.Watch(step, 100, last_step=7)(7)


@pytest.mark.parametrize(("in_row", "fails"), [(9, False), (10, True)])
def test_too_many_bad_steps_in_a_row_end_the_run(in_row, fails):
    """FAULTS 37, whatever is logged when."""
    step = Step()
    step.most_skipped_in_row = tf.Variable(in_row, dtype=tf.int64)
    watch = actions.Watch(step, 10, last_step=1000)
    watch(19)
    if not fails:
        watch(20)
        return
    with pytest.raises(exits.Refusal, match="10 steps in a row") as error:
        watch(20)
    assert error.value.code == exits.DIVERGED


@pytest.mark.parametrize("ends_early", [False, True])
def test_a_profile_is_written_once_however_the_run_ends(tmp_path, ends_early):
    profile = actions.Profile(run_directory.RunDirectory(tmp_path), 2, 3)
    for step in (1, 2) if ends_early else (1, 2, 3):
        profile(step)
    profile.close()
    profile.close()
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == 1
