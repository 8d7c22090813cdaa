"""What becomes of a trial, for every way in which its process can go."""

import json
import pathlib

import optuna
import pytest

from pipeline import exits
from trainers import signals
from trainers.tuning import process, running, space, study
from trainers.tuning import trial as trial_lib

_SPACE = space.Space(pathlib.Path("s.toml"), {}, [space.Parameter("seed", (1, 2, 3))])
_ASKED = study.Asked("seq2seq", "loss", ["--data_dir=d"], _SPACE)


class _Fake:
    """A process that does what a test says."""

    started: list["_Fake"] = []  # noqa: RUF012 - emptied by each test
    held_mb = 0.0

    def __init__(self, trainer, flags, workdir, cores):
        self.flags, self.workdir, self.cores = flags, workdir, cores
        self.code, self.stopped, self.killed = None, False, False
        workdir.mkdir(parents=True, exist_ok=True)
        _Fake.started.append(self)

    def exit_code(self):
        return self.code

    def stop(self):
        self.stopped = True

    def kill(self):
        self.killed, self.code = True, -9

    def rss_mb(self):
        return self.held_mb

    def last_words(self):
        return "the data is damaged"

    def validated(self, *figures):
        lines = [json.dumps({"step": s, "valid_loss": v}) + "\n" for s, v in figures]
        (self.workdir / "metrics.jsonl").write_text("".join(lines) + '{"step": 9')

    def ended(self, code, best=None, finished="steps"):
        found = {"finished": finished, "wall_secs": 3.0}
        found["best"] = best and {"metric": "valid_loss", "value": best, "step": 7}
        (self.workdir / "summary.json").write_text(json.dumps(found))
        self.code = code


@pytest.fixture
def current(monkeypatch):
    """A study of trials that are fakes."""
    monkeypatch.setattr(process, "Process", _Fake)
    _Fake.started = []
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        pruner=optuna.pruners.MedianPruner(n_startup_trials=1), direction="minimize"
    )


def _begin(current, tmp_path, *, memory_mb=0):
    trial = current.ask()
    flags = trial_lib.flags_of(trial, _ASKED, lambda _: None)
    limits = trial_lib.Limits({0}, memory_mb)
    where = tmp_path / str(trial.number)
    running = trial_lib.Running(trial, _ASKED, flags, where, limits)
    return running, _Fake.started[-1]


def _only(current):
    return current.get_trials()[-1]


def test_a_trial_that_ends_well_has_the_value_of_its_best_validation(current, tmp_path):
    running, fake = _begin(current, tmp_path)
    assert fake.flags[0] == "--data_dir=d"
    assert fake.flags[1] in ("--seed=1", "--seed=2", "--seed=3")
    fake.validated((5, 3.0), (7, 2.0))
    assert not running.look()
    fake.validated((5, 3.0), (7, 2.0), (10, 2.5))
    fake.ended(0, best=2.0)
    assert running.look()
    found = _only(current)
    assert (found.state, found.value) == (study.States.COMPLETE, 2.0)
    assert found.intermediate_values == {5: 3.0, 7: 2.0, 10: 2.5}
    assert found.user_attrs == {"best_step": 7, "secs": 3.0}


def test_a_trial_without_hope_is_stopped_once_and_pruned(current, tmp_path):
    running, fake = _begin(current, tmp_path)
    fake.validated((5, 1.0))
    fake.ended(0, best=1.0)
    assert running.look()
    running, fake = _begin(current, tmp_path)
    fake.validated((5, 9.0))
    assert not running.look()
    assert fake.stopped
    fake.ended(75, finished="preempted")
    assert running.look()
    assert _only(current).state == study.States.PRUNED


def test_a_trial_that_has_no_room_ends_the_study_and_is_taken_up_again(
    current, tmp_path, monkeypatch
):
    monkeypatch.setattr(_Fake, "last_words", lambda _: "a.txt: make room")
    amount = running.Amount(trials=5, parallel=2, cores=1, memory_mb=0, steps=9)

    class Full(_Fake):
        def exit_code(self):
            is_second = len(_Fake.started) == 2 and self is _Fake.started[1]
            return exits.DISK if is_second else self.code

        def wait(self):
            self.ended(exits.PREEMPTED, finished="preempted")

    monkeypatch.setattr(process, "Process", Full)
    runner = running.Runner(current, _ASKED, tmp_path, amount, lambda _: None)
    told = r"trial 1, which is taken up again once: a\.txt: make room"
    with pytest.raises(exits.Refusal, match=told) as error:
        runner.run(signals.StopRequest())
    assert error.value.code == exits.DISK
    assert [one.stopped for one in _Fake.started] == [True, False]
    assert [one.number for one in study.interrupted(current)] == [0, 1]


def test_a_trial_that_never_has_room_fails(current, tmp_path):
    running, fake = _begin(current, tmp_path)
    fake.code = exits.DISK
    assert running.look()
    assert _only(current).state == study.States.RUNNING
    (trial,) = study.interrupted(current)
    limits = trial_lib.Limits({0}, 0)
    again = trial_lib.Running(trial, _ASKED, [], tmp_path / "0", limits)
    _Fake.started[-1].code = exits.DISK
    assert again.look()
    assert not again.no_room
    assert _only(current).state == study.States.FAIL


def test_a_trial_that_ends_before_it_is_stopped_counts(current, tmp_path):
    running, fake = _begin(current, tmp_path)
    fake.validated((5, 1.0))
    fake.ended(0, best=1.0)
    running.look()
    running, fake = _begin(current, tmp_path)
    fake.validated((5, 9.0))
    running.look()
    fake.ended(0, best=9.0)
    assert running.look()
    assert (_only(current).state, _only(current).value) == (study.States.COMPLETE, 9.0)


def test_what_is_written_at_the_very_end_is_reported(current, tmp_path, monkeypatch):
    running, fake = _begin(current, tmp_path)

    def ends_now():
        fake.validated((5, 3.0))
        fake.ended(0, best=3.0)
        return 0

    monkeypatch.setattr(fake, "exit_code", ends_now)
    assert running.look()
    assert _only(current).intermediate_values == {5: 3.0}


def test_a_figure_that_is_no_number_is_not_reported(current, tmp_path):
    running, fake = _begin(current, tmp_path)
    fake.validated((5, float("nan")), (6, 4.0))
    running.look()
    assert _only(current).intermediate_values == {6: 4.0}


@pytest.mark.parametrize(
    ("code", "finished", "why"),
    [
        (70, "diverged", "exit code 70: the data is damaged"),
        (1, "refused", "exit code 1: the data is damaged"),
        (-9, "steps", "killed by signal 9"),
        (0, "steps", "validated nothing"),
    ],
)
def test_a_trial_that_fails_says_why(current, tmp_path, code, finished, why):
    running, fake = _begin(current, tmp_path)
    fake.ended(code, finished=finished)
    assert running.look()
    found = _only(current)
    assert found.state == study.States.FAIL
    assert found.user_attrs["why"].startswith(why)


def test_a_trial_that_somebody_else_stops_is_taken_up_again(current, tmp_path):
    running, fake = _begin(current, tmp_path)
    for _ in range(5):
        fake.ended(75, finished="preempted")
        assert not running.look()
        again = _Fake.started[-1]
        assert again is not fake
        assert (again.flags, again.workdir) == (fake.flags, fake.workdir)
        fake = again
    fake.ended(75, finished="preempted")
    assert running.look()
    assert "exit code 75" in _only(current).user_attrs["why"]


def test_a_trial_whose_old_process_still_saves_waits_for_it(
    current, tmp_path, monkeypatch
):
    clock = [100.0]
    monkeypatch.setattr(trial_lib.time, "monotonic", lambda: clock[0])
    running, fake = _begin(current, tmp_path)
    fake.ended(73, finished="preempted")
    assert not running.look()
    assert not running.look()
    assert len(_Fake.started) == 1
    clock[0] += 2
    assert not running.look()
    assert len(_Fake.started) == 2
    _Fake.started[-1].ended(0, best=1.5)
    assert running.look()
    assert _only(current).value == 1.5


def test_a_trial_that_holds_too_much_memory_is_ended(current, tmp_path, monkeypatch):
    running, fake = _begin(current, tmp_path, memory_mb=100)
    monkeypatch.setattr(_Fake, "held_mb", 99.0)
    assert not running.look()
    assert not fake.killed
    monkeypatch.setattr(_Fake, "held_mb", 101.0)
    assert not running.look()
    assert fake.killed
    assert running.look()
    assert "--trial_memory_mb=100" in _only(current).user_attrs["why"]


def test_flags_that_do_not_go_together_fail_without_a_process(current):
    trial = current.ask()
    assert trial_lib.flags_of(trial, _ASKED, lambda flags: "no " + flags[0]) is None
    assert _only(current).user_attrs["why"] == "refused: no --data_dir=d"
    assert not _Fake.started


def test_a_trial_keeps_the_values_it_had_before_a_kill(current):
    trial = current.ask()
    before = study.suggested(trial, _SPACE)
    (again,) = study.interrupted(current)
    assert again.number == trial.number
    assert study.suggested(again, _SPACE) == before


def test_slots_share_no_core_while_there_are_enough(monkeypatch):
    monkeypatch.setattr(process.os, "sched_getaffinity", lambda _: {2, 3, 5, 7})
    assert [process.cores_of(slot, 2) for slot in range(3)] == [{2, 3}, {5, 7}, {2, 3}]
    assert process.cores_of(0, 9) == {2, 3, 5, 7}
    assert process.num_cores() == 4
