"""A trial from its first step to its verdict, whatever happens to its process."""

import math
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import optuna

from pipeline import exits, progress
from trainers import run_directory
from trainers.tuning import process, space, study

_MAX_RESTARTS = 5  # of a trainer that somebody else stopped
_LOCKED_SECS = 1.0  # until a trial whose old process still saves is tried again
_MOST_LOCKED_SECS = 300.0


class Limits(NamedTuple):
    """What a trial may use.

    Attributes:
        cores: Of this machine.
        memory_mb: Resident memory, in MiB; 0 for any.
    """

    cores: set[int]
    memory_mb: int


class Running:
    """A trial whose process runs, or is about to."""

    def __init__(
        self,
        trial: optuna.Trial,
        asked: study.Asked,
        flags: list[str],
        workdir: pathlib.Path,
        limits: Limits,
    ) -> None:
        """Starts the process.

        Args:
            trial: Of the study.
            asked: What the study is.
            flags: All but the working directory.
            workdir: Of the trial; one that is there goes on.
            limits: What it may use.
        """
        self._trial, self._asked, self._flags = trial, asked, flags
        self.workdir, self._limits = workdir, limits
        every = trial.study.get_trials(deepcopy=False)
        self._reported = set(every[trial.number].intermediate_values)
        self._why = ""  # it was stopped by us
        self._is_pruned = False
        self._restarts = 0
        self._try_again_at: float | None = None
        self._locked_since: float | None = None
        self.no_room = ""  # what it said, where the disk is full
        self.step = 0
        self._process = self._started()

    @property
    def number(self) -> int:
        """Its number in the study."""
        return self._trial.number

    def stop(self) -> None:
        """Asks the trainer to save and end; the trial is taken up another time."""
        if self._process.exit_code() is None:
            self._process.stop()

    def wait(self) -> None:
        """Returns once the process has ended."""
        self._process.wait()

    def look(self) -> bool:
        """Reports what is new, prunes, watches; returns whether the trial is over."""
        if self._try_again_at is not None:
            if time.monotonic() >= self._try_again_at:
                self._try_again_at = None
                self._process = self._started()
            return False
        self._report()
        code = self._process.exit_code()
        if code is not None:
            self._report()  # what was written between the two
            return self._judged(code)
        if self._limits.memory_mb and not self._why:
            held = self._process.rss_mb()
            if held > self._limits.memory_mb:
                self._why = (
                    f"held {held:,.0f} MiB, more than --trial_memory_mb="
                    f"{self._limits.memory_mb}"
                )
                self._process.kill()
        return False

    def _started(self) -> process.Process:
        return process.Process(
            self._asked.trainer, self._flags, self.workdir, self._limits.cores
        )

    def _report(self) -> None:
        """Tells the study what validations found, and stops a trial without hope."""
        before = len(self._reported)
        for entry in run_directory.read_log(self.workdir / run_directory.METRICS):
            self.step = max(self.step, entry["step"])
            value = entry.get(f"valid_{self._asked.metric}")
            if value is None or math.isnan(value) or entry["step"] in self._reported:
                continue
            self._trial.report(value, entry["step"])
            self._reported.add(entry["step"])
        is_news = len(self._reported) > before
        if is_news and not self._is_pruned and self._trial.should_prune():
            self._is_pruned = True
            self.stop()

    def _judged(self, code: int) -> bool:
        """Says what came of it; returns whether that is the end of it."""
        if code == exits.LOCKED and self._waits_for_lock():
            return False
        summary = run_directory.read_summary(self.workdir)
        ended = summary.get("finished")
        if self._why:
            self._fail(self._why)
        elif code == exits.DONE and ended != "preempted":
            self._complete(summary)
        elif code == exits.PREEMPTED and self._is_pruned:
            self._tell(study.States.PRUNED)
        elif code == exits.PREEMPTED and self._restarts < _MAX_RESTARTS:
            self._restarts += 1
            self._process = self._started()
            return False
        elif code == exits.DISK and not self._had_no_room():
            self.no_room = self._process.last_words()
        elif code < 0:
            self._fail(f"killed by signal {-code}")
        else:
            self._trial.set_user_attr(study.CODE, code)
            self._fail(f"exit code {code}: {self._process.last_words()}")
        return True

    def _had_no_room(self) -> bool:
        """Whether that was so before it was taken up; else it is left to be, again."""
        every = self._trial.study.get_trials(deepcopy=False)
        before = every[self.number].user_attrs.get(study.CODE)
        self._trial.set_user_attr(study.CODE, exits.DISK)
        return before == exits.DISK

    def _waits_for_lock(self) -> bool:
        """Tries again later: the process of a killed study may still be saving."""
        now = time.monotonic()
        self._locked_since = self._locked_since or now
        if now - self._locked_since > _MOST_LOCKED_SECS:
            return False
        self._try_again_at = now + _LOCKED_SECS
        return True

    def _complete(self, summary: dict[str, Any]) -> None:
        best = summary.get("best")
        if not best:
            self._fail("validated nothing; see --eval_every_steps, and the valid split")
            return
        self._trial.set_user_attr(study.BEST_STEP, best["step"])
        self._trial.set_user_attr(study.SECS, summary.get("wall_secs"))
        self._trial.study.tell(self._trial, best["value"])

    def _fail(self, why: str) -> None:
        progress.logger.warning("trial %d failed: %s", self.number, why)
        self._trial.set_user_attr(study.WHY, why)
        self._tell(study.States.FAIL)

    def _tell(self, state: optuna.trial.TrialState) -> None:
        secs = run_directory.read_summary(self.workdir).get("wall_secs")
        self._trial.set_user_attr(study.SECS, secs)
        self._trial.study.tell(self._trial, state=state)


def flags_of(
    trial: optuna.Trial,
    asked: study.Asked,
    check: Callable[[list[str]], str | None],
) -> list[str] | None:
    """Returns the flags of a trial, or fails it if they do not go together.

    Args:
        trial: New, or left by a kill.
        asked: What the study is.
        check: Returns what is wrong with flags, if anything is.
    """
    values = study.suggested(trial, asked.space)
    flags = [*asked.base, *space.lines(values)]
    why = check(flags)
    if why is None:
        return flags
    progress.logger.warning("trial %d is refused: %s", trial.number, why)
    trial.set_user_attr(study.WHY, f"refused: {why}")
    trial.set_user_attr(study.CODE, exits.USAGE)
    trial.study.tell(trial, state=study.States.FAIL)
    return None
