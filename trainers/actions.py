"""What happens after a step: log, watch, evaluate, save, stop. None knows another."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline import exits, fail_points, input_pipeline, progress
from trainers import (
    checkpoints,
    clock,
    config,
    events,
    naming,
    replicas,
    run_directory,
    run_state,
    signals,
    tasks,
    train_step,
    validation,
)

_MAX_FAILED_SAVES = 3
_STEPS_BETWEEN_VOTES = 8


class FinishedError(Exception):
    """The run is over before its last step; the reason is for summary.json."""


class Log:
    """Reads the totals now and then; writes them to file, events and terminal."""

    def __init__(
        self,
        step: train_step.TrainStep,
        stream: input_pipeline.Stream,
        directory: run_directory.RunDirectory,
        watch: clock.Clock,
        bar: progress.Progress,
        task: tasks.Task,
        *,
        every: int,
        last_step: int,
    ) -> None:
        """Opens the TensorBoard events."""
        self._step, self._stream, self._directory = step, stream, directory
        self._watch, self._bar, self._task = watch, bar, task
        self._every, self._last_step = every, last_step
        self._events = events.Events(directory.path / run_directory.EVENTS)
        self._waited = stream.wait_secs
        self.waited = 0.0  # seconds, in the windows that are closed
        self.sums: dict[str, float] = {}  # of this process, for the summary

    def lengths(self, lengths: np.ndarray) -> None:
        """Writes how long the sources and targets are, for [N, 2], to TensorBoard."""
        for side, name in enumerate(("source", "target")):
            if lengths[:, side].any():  # labels have no length
                self._events.histogram(0, f"tokens/{name}", lengths[:, side])

    def __call__(self, step: int) -> None:
        """Logs after a step if a line is due."""
        if step % self._every and step != self._last_step:
            self._bar.update()
            return
        totals = self._step.totals.take()
        secs = self._watch.close_window(int(totals["steps"] + totals["skipped"]))
        for name, value in totals.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

        def mean(name: str, count: str) -> float | None:
            return totals[name] / totals[count] if totals[count] else None

        metrics = {
            "step": step,
            "epoch": self._stream.cursor.epoch,
            "loss": mean("loss_sum", "num_tokens"),
            "nll": mean("nll_sum", "num_tokens"),
            self._task.accuracy: mean("num_correct", "num_tokens"),
            "gradient_norm": mean("gradient_norm", "steps"),
            "learning_rate": float(self._step.learning_rate.numpy()),
            "skipped_nonfinite_steps": int(totals["skipped"]),
        }
        timing = self._timing(step, totals, secs)
        fail_points.reach("log.before")
        self._directory.append(run_directory.METRICS, metrics)
        fail_points.reach("log.between")
        self._directory.append(run_directory.TIMING, timing)
        fail_points.reach("log.after")
        self._events.scalars(step, {**metrics, **timing})
        loss = "not finite" if metrics["loss"] is None else f"{metrics['loss']:.3f}"
        self._bar.update(
            note=f"loss {loss}, {timing[self._task.rate]:,.0f} {self._task.targets}/s, "
            f"{100 * timing['input_wait_fraction']:.1f} % of it waiting for data"
        )

    def _timing(
        self, step: int, totals: dict[str, float], secs: float
    ) -> dict[str, Any]:
        waited = self._stream.wait_secs - self._waited
        self._waited = self._stream.wait_secs
        self.waited += waited
        return {
            "step": step,
            "wall_secs": self._watch.total_secs(),
            "src_tokens_per_sec": totals["src_tokens"] / secs,
            self._task.rate: totals["num_tokens"] / secs,
            "input_wait_fraction": waited / secs,
            "peak_rss_mb": clock.peak_rss_mb(),
            "step_ms": 1000 * secs / max(totals["steps"] + totals["skipped"], 1),
        }


class Watch:
    """Ends a run whose gradients are not finite any more, whatever is logged when."""

    def __init__(
        self, step: train_step.TrainStep, max_bad_steps: int, last_step: int
    ) -> None:
        """`max_bad_steps` skipped steps in a row are too many, and so are all."""
        self._step, self._most, self._last_step = step, max_bad_steps, last_step

    def __call__(self, step: int) -> None:
        """Looks now and then: reading a number each step would hold up a GPU.

        Raises:
            exits.Refusal: With `DIVERGED`.
        """
        if step % self._most and step != self._last_step:
            return
        in_row = int(self._step.most_skipped_in_row.numpy())
        if in_row >= min(self._most, step):
            raise exits.Refusal(
                exits.DIVERGED,
                f"up to step {step}, {in_row} steps in a row had a gradient that is "
                "not finite (--max_bad_steps); lower --learning_rate, raise "
                "--warmup_steps or set --clip_norm",
            )


class Evaluate:
    """Validates every so many steps, and keeps the best checkpoint apart."""

    def __init__(
        self,
        step: train_step.TrainStep,
        validate: validation.Validate,
        directory: run_directory.RunDirectory,
        state: run_state.RunState,
        watch: clock.Clock,
        bar: progress.Progress,
        asked: config.TrainConfig,
        *,
        over: replicas.Replicas = replicas.ALONE,
    ) -> None:
        """Opens the TensorBoard events; of all processes the chief keeps the best."""
        self._over = over
        self._step, self._validate = step, validate
        self._directory, self._state = directory, state
        self._watch, self._bar = watch, bar
        self._asked, self._schedule = asked.validation, asked.schedule
        self._last_step = asked.run.num_steps
        self._events = events.Events(directory.path / run_directory.EVENTS / "valid")

    def __call__(self, step: int) -> None:
        """Validates after a step if it is due, or was due and was cut short."""
        due = step % self._asked.eval_every_steps == 0 or step == self._last_step
        if not due and self._state.unvalidated != step:
            return
        with self._watch.excluded():
            try:
                with self._step.averaged_weights():
                    result = self._validate()
            except validation.StoppedError:
                self._state.unvalidated = step
                return
            self._state.unvalidated = None
            fail_points.reach("validation.before")
            self._report(step, result)
            fail_points.reach("validation.logged")
            self._judge(step, result.metrics[self._asked.best_metric])
            fail_points.reach("validation.after")

    def _report(self, step: int, result: validation.Result) -> None:
        named = {f"valid_{name}": value for name, value in result.metrics.items()}
        self._directory.append(run_directory.METRICS, {"step": step, **named})
        self._events.scalars(step, result.metrics)
        if result.samples:
            self._directory.append_samples(step, result.samples)
            self._events.text(step, "samples", result.samples)
        told = ", ".join(f"{name} {value:.4f}" for name, value in named.items())
        self._bar.say(f"step {step:,}: {told}")

    def _judge(self, step: int, value: float) -> None:
        """Keeps the model if it is the best, or counts that it is not."""
        state, name = self._state, self._asked.best_metric
        best = state.best["value"] if state.best else None
        if validation.is_better(name, value, best):
            before = state.best
            state.best = {"metric": f"valid_{name}", "value": value, "step": step}
            state.num_not_better = state.num_on_plateau = 0
            # All processes know whether the chief could: their verdicts are the same.
            if self._over.any([not self._is_kept(step)])[0]:
                # The one before is still the best there is; the next has its chance.
                state.best = before
            return
        state.num_not_better += 1
        state.num_on_plateau += 1
        plateau = self._schedule.schedule == "plateau"
        if plateau and state.num_on_plateau >= self._schedule.plateau_patience:
            state.rate_factor *= self._schedule.plateau_factor
            state.num_on_plateau = 0
            self._bar.say(f"step {step:,}: learning rate x {state.rate_factor:g}")
        if self._asked.patience and state.num_not_better >= self._asked.patience:
            state.early_stop = True

    def _is_kept(self, step: int) -> bool:
        """Saves the best checkpoint, and returns whether the disk took it."""
        try:
            if self._over.is_chief:
                self._keep(step)
        except OSError as error:
            progress.logger.error("best checkpoint not saved: %s", error)
            return False
        return True

    def _keep(self, step: int) -> None:
        checkpoints.save(
            self._directory.best,
            step,
            naming.variables(self._step),
            dataclasses.asdict(self._state),
        )
        # Not the newest: an earlier attempt may have left one of a later step.
        others = [n for n in checkpoints.steps(self._directory.best) if n != step]
        checkpoints.remove(self._directory.best, others)


class Save:
    """Saves when it is due or the run ends, and ends it. The last action."""

    def __init__(
        self,
        save: Callable[[int], None],
        stop: signals.StopRequest,
        state: run_state.RunState,
        watch: clock.Clock,
        asked: config.RunConfig,
        over: replicas.Replicas = replicas.ALONE,
    ) -> None:
        """`save` writes a checkpoint of a step."""
        self._over = over
        self._save, self._stop, self._state, self._watch = save, stop, state, watch
        self._asked = asked
        self._saved_at = time.monotonic()
        self._failures = 0  # in a row

    def __call__(self, step: int) -> None:
        """Saves after a step if it is due, and ends the run if it was asked to.

        Raises:
            exits.Refusal: With `PREEMPTED` after a signal.
            FinishedError: When the time for training is used up, or validation has not
                got better for too long.
        """
        last = step == self._asked.num_steps
        stopping, over = self._ends(step, is_last=last)
        if (
            step % self._asked.save_every_steps == 0
            or last
            or time.monotonic() - self._saved_at >= self._asked.save_every_secs
            or stopping
            or over
        ):
            with self._watch.excluded():
                self._save_or_complain(step, last_chance=bool(last or over or stopping))
            self._saved_at = time.monotonic()
        if stopping or over or last:
            self._over.wait()  # for the chief's checkpoint
        if stopping and (not last or self._state.unvalidated):
            reason = self._stop.reason or "a signal to another worker"
            raise exits.Refusal(
                exits.PREEMPTED,
                f"stopped by {reason} after step {step}, which is saved; "
                "the same command goes on from there",
            )
        if over:
            raise FinishedError(over)

    def _ends(self, step: int, *, is_last: bool) -> tuple[bool, str | None]:
        """Returns whether a signal ends the run, and why else it ends, if it does.

        Clocks and signals differ between processes, so these ask each other, which
        holds up a GPU, every few steps.
        """
        if self._state.early_stop:
            return bool(self._stop), "early_stop"
        limit = self._asked.max_train_secs
        votes = [bool(self._stop), 0 < limit <= self._watch.total_secs()]
        if self._over.worker.num_workers > 1:
            if step % _STEPS_BETWEEN_VOTES and not is_last:
                return False, None
            votes = self._over.any(votes)
        stopping, too_long = votes
        return stopping, "time" if too_long else None

    def _save_or_complain(self, step: int, *, last_chance: bool) -> None:
        """Saves; a full disk is logged and tried again when the next save is due."""
        try:
            self._save(step)
            self._failures = 0
        except OSError as error:
            self._failures += 1
            if last_chance or self._failures == _MAX_FAILED_SAVES:
                raise exits.Refusal(
                    exits.DISK,
                    f"step {step} could not be saved ({error}); make room, and the "
                    "same command goes on from the checkpoint before",
                ) from None
            progress.logger.error("checkpoint not saved, will try again: %s", error)


class Profile:
    """Writes a TensorFlow profile of some steps into the events directory."""

    def __init__(
        self, directory: run_directory.RunDirectory, first: int, last: int
    ) -> None:
        """Profiles steps `first` to `last`, both included."""
        self._path = str(directory.path / run_directory.EVENTS)
        self._first, self._last = first, last
        self._running = False

    def __call__(self, step: int) -> None:
        """Begins after the step before the first, ends after the last."""
        if step == self._first - 1:
            tf.profiler.experimental.start(self._path)
            self._running = True
        elif step == self._last:
            self.close()

    def close(self) -> None:
        """Ends a profile that is being taken, and writes what there is of it."""
        if not self._running:
            return
        tf.profiler.experimental.stop()
        self._running = False
        progress.logger.info("profile of steps written: %s", self._path)
