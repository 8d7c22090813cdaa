"""The trials of a study, some at a time, until there are as many as were asked for."""

import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

import optuna

from pipeline import exits, progress
from trainers import signals
from trainers.tuning import process, study
from trainers.tuning import trial as trial_lib

TRIALS = "trials"
_LOOK_EVERY_SECS = 0.25
_MOST_FAILED_FIRST = 3

Check = Callable[[list[str]], str | None]


class Amount(NamedTuple):
    """How much is run.

    Attributes:
        trials: In all, those before a kill included.
        parallel: At a time.
        cores: Of each; 0 for an equal share.
        memory_mb: Of each, resident; 0 for any.
        steps: That a trial takes if nothing ends it before, for the time left.
    """

    trials: int
    parallel: int
    cores: int
    memory_mb: int
    steps: int


def workdir_of(study_dir: pathlib.Path, number: int) -> pathlib.Path:
    """Returns the working directory of a trial."""
    return study_dir / TRIALS / f"{number:04d}"


class Runner:
    """Keeps as many trials running as may."""

    def __init__(
        self,
        current: optuna.Study,
        asked: study.Asked,
        study_dir: pathlib.Path,
        amount: Amount,
        check: Check,
    ) -> None:
        """Nothing runs yet.

        Args:
            current: The study.
            asked: What it is.
            study_dir: Where its trials are.
            amount: How much to run.
            check: Returns what is wrong with the flags of a trial, if anything is.
        """
        self._study, self._asked, self._study_dir = current, asked, study_dir
        self._amount, self._check = amount, check
        self._left = study.interrupted(current)
        self._slots: list[trial_lib.Running | None] = [None] * amount.parallel
        self._counted = 0  # steps that the bar knows of

    def run(self, stop: signals.StopRequest) -> None:
        """Runs trials until there are enough of them.

        Raises:
            exits.Refusal: With `PREEMPTED` after a signal, with `DISK` where a trial
                has no room. Where all of the first ones failed, with their code if they
                have the same, else with `DIVERGED`.
        """
        total = self._amount.trials * self._amount.steps
        self._counted = len(study.ended(self._study)) * self._amount.steps
        with progress.Progress(
            "tuning", unit="steps", total=total, done=self._counted
        ) as bar:
            for one in self._left:
                bar.say(f"trial {one.number} goes on")
            while not stop:
                self._fill()
                if not any(self._slots):
                    return
                self._look(bar)
                self._count(bar)
                time.sleep(_LOOK_EVERY_SECS)
            self._stop(str(stop.reason))

    def _fill(self) -> None:
        """Starts trials where there is room and trials are wanted."""
        for slot in [k for k, one in enumerate(self._slots) if one is None]:
            while True:
                trial = self._next()
                if trial is None:
                    return
                flags = trial_lib.flags_of(trial, self._asked, self._check)
                if flags is None:
                    self._give_up_if_all_failed()
                    continue
                started = trial_lib.Running(
                    trial,
                    self._asked,
                    flags,
                    workdir_of(self._study_dir, trial.number),
                    self._limits(slot),
                )
                self._slots[slot] = started
                break

    def _next(self) -> optuna.Trial | None:
        """Returns a trial to begin or to go on with, if one is wanted."""
        if self._left:
            return self._left.pop(0)
        if study.num_taken(self._study) >= self._amount.trials:
            return None
        return self._study.ask()

    def _limits(self, slot: int) -> trial_lib.Limits:
        share = max(process.num_cores() // self._amount.parallel, 1)
        cores = process.cores_of(slot, self._amount.cores or share)
        return trial_lib.Limits(cores, self._amount.memory_mb)

    def _look(self, bar: progress.Progress) -> None:
        for slot, running in enumerate(self._slots):
            if running is None or not running.look():
                continue
            self._slots[slot] = None
            if running.no_room:
                self._stop_for_room(running)
            bar.say(self._told(running.number))
            self._give_up_if_all_failed()

    def _count(self, bar: progress.Progress) -> None:
        """Tells the bar how many steps are taken, or need not be taken any more."""
        steps, most = 0, self._amount.steps
        for running in self._slots:
            steps += min(running.step, most) if running is not None else 0
        over = len(study.ended(self._study))
        done = max(over * most + steps, self._counted)
        best = study.best(self._study)
        note = f"{over} of {self._amount.trials} trials over"
        if best is not None:
            note += f", best {best.value:.4f} (trial {best.number})"
        bar.update(done - self._counted, note=note)
        self._counted = done

    def _told(self, number: int) -> str:
        """Returns a line about a trial that is over."""
        one = self._study.get_trials(deepcopy=False)[number]
        value = "" if one.value is None else f" {one.value:.4f}"
        told = f"{one.state.name.lower()}{value}"
        return f"trial {number}: {told}; " + " ".join(
            f"{name}={value}" for name, value in one.params.items()
        )

    def _give_up_if_all_failed(self) -> None:
        """Ends a study in which nothing works."""
        over = study.ended(self._study)
        failed = [one for one in over if one.state == study.States.FAIL]
        if len(over) != len(failed) or len(failed) < _MOST_FAILED_FIRST:
            return
        for running in filter(None, self._slots):
            running.stop()
        codes = {one.user_attrs.get(study.CODE) for one in failed}
        code = codes.pop() if len(codes) == 1 else None
        raise exits.Refusal(
            code or exits.DIVERGED,
            f"the first {len(failed)} trials all failed, the last one so: "
            f"{failed[-1].user_attrs.get(study.WHY)}; see {process.LOG} in "
            f"{self._study_dir / TRIALS}, and begin with another --study_dir",
        )

    def _stop(self, reason: str) -> None:
        """Lets every trainer save and end; the same command takes them up."""
        num_saved = self._save_all()
        raise exits.Refusal(
            exits.PREEMPTED,
            f"stopped by {reason} with {num_saved} trials running, which are saved; "
            "the same command goes on",
        )

    def _stop_for_room(self, one: trial_lib.Running) -> None:
        """Does the same where others would end as this trial did, on a full disk."""
        self._save_all()
        raise exits.Refusal(
            exits.DISK,
            f"trial {one.number}, which is taken up again once: {one.no_room}",
        )

    def _save_all(self) -> int:
        """Lets every trainer save and end; returns how many there were."""
        running = list(filter(None, self._slots))
        for one in running:
            one.stop()
        for one in running:
            one.wait()
        return len(running)
