"""What happens after a step: log, evaluate, save, stop. None knows another."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pipeline import exits, input_pipeline, progress
from trainers import checkpoints, clock, naming, run_directory, signals, train_step

_MAX_FAILED_SAVES = 3


class FinishedError(Exception):
    """The run is over before its last step; the reason is for summary.json."""


@dataclasses.dataclass
class RunState:
    """The facts of a run that are not tensors; saved with every checkpoint."""

    facts: dict[str, Any]  # what a resumed run must find unchanged
    best: dict[str, Any] | None = None  # metric, value, step
    num_resumes: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)


class Log:
    """Reads the totals now and then; writes them to file, events and terminal."""

    def __init__(
        self,
        step: train_step.TrainStep,
        stream: input_pipeline.Stream,
        directory: run_directory.RunDirectory,
        watch: clock.Clock,
        bar: progress.Progress,
        *,
        every: int,
        last_step: int,
    ) -> None:
        """Opens the TensorBoard events."""
        self._step, self._stream, self._directory = step, stream, directory
        self._watch, self._bar = watch, bar
        self._every, self._last_step = every, last_step
        self._events = tf.summary.create_file_writer(
            str(directory.path / run_directory.EVENTS)
        )
        self._waited = 0.0
        self.sums: dict[str, float] = {}  # of this process, for the summary

    def __call__(self, step: int) -> None:
        """Logs after a step if a line is due."""
        if step % self._every and step != self._last_step:
            self._bar.update()
            return
        totals = self._step.totals.take()
        taken = int(totals["steps"])
        secs = self._watch.close_window(taken + int(totals["skipped"]))
        for name, value in totals.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        if not taken:
            raise exits.Refusal(
                exits.DIVERGED,
                f"each of the last {int(totals['skipped'])} steps up to {step} had a "
                "gradient that is not finite; lower --learning_rate or raise "
                "--warmup_steps",
            )
        metrics = {
            "step": step,
            "epoch": self._stream.cursor.epoch,
            "loss": totals["loss_sum"] / totals["num_tokens"],
            "nll": totals["nll_sum"] / totals["num_tokens"],
            "token_accuracy": totals["num_correct"] / totals["num_tokens"],
            "gradient_norm": totals["gradient_norm"] / taken,
            "learning_rate": float(self._step.learning_rate.numpy()),
            "skipped_nonfinite_steps": int(totals["skipped"]),
        }
        timing = self._timing(step, totals, secs)
        self._directory.append(run_directory.METRICS, metrics)
        self._directory.append(run_directory.TIMING, timing)
        write_events(self._events, step, {**metrics, **timing})
        self._bar.update(
            note=f"loss {metrics['loss']:.3f}, "
            f"{timing['tgt_tokens_per_sec']:,.0f} target tokens/s"
        )

    def _timing(
        self, step: int, totals: dict[str, float], secs: float
    ) -> dict[str, Any]:
        waited = self._stream.wait_secs - self._waited
        self._waited = self._stream.wait_secs
        return {
            "step": step,
            "wall_secs": self._watch.total_secs(),
            "src_tokens_per_sec": totals["src_tokens"] / secs,
            "tgt_tokens_per_sec": totals["num_tokens"] / secs,
            "input_wait_fraction": waited / secs,
            "peak_rss_mb": clock.peak_rss_mb(),
        }


class Evaluate:
    """Validates every so many steps, and keeps the best checkpoint apart."""

    def __init__(
        self,
        step: train_step.TrainStep,
        validation: Callable[[], dict[str, float]],
        directory: run_directory.RunDirectory,
        state: RunState,
        watch: clock.Clock,
        bar: progress.Progress,
        *,
        every: int,
        last_step: int,
    ) -> None:
        """`validation` returns the metrics of the valid split, `loss` among them."""
        self._step, self._validation, self._directory = step, validation, directory
        self._state, self._watch, self._bar = state, watch, bar
        self._every, self._last_step = every, last_step
        self._events = tf.summary.create_file_writer(
            str(directory.path / run_directory.EVENTS / "valid")
        )

    def __call__(self, step: int) -> None:
        """Validates after a step if it is due."""
        if not self._every or (step % self._every and step != self._last_step):
            return
        with self._watch.excluded():
            metrics = self._validation()
            named = {f"valid_{name}": value for name, value in metrics.items()}
            self._directory.append(run_directory.METRICS, {"step": step, **named})
            write_events(self._events, step, metrics)
            told = ", ".join(f"{name} {value:.4f}" for name, value in named.items())
            self._bar.say(f"step {step:,}: {told}")
            self._keep_if_best(step, metrics["loss"])

    def _keep_if_best(self, step: int, loss: float) -> None:
        best = self._state.best
        if math.isnan(loss) or (best is not None and loss >= best["value"]):
            return
        self._state.best = {"metric": "valid_loss", "value": loss, "step": step}
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
    """Saves when it is due or the process was asked to stop. The last action."""

    def __init__(
        self,
        step: train_step.TrainStep,
        save: Callable[[int], None],
        stop: signals.StopRequest,
        watch: clock.Clock,
        *,
        every_steps: int,
        every_secs: float,
        max_train_secs: float,
        last_step: int,
    ) -> None:
        """`save` writes a checkpoint of a step."""
        self._step, self._save, self._stop, self._watch = step, save, stop, watch
        self._every_steps, self._every_secs = every_steps, every_secs
        self._max_train_secs, self._last_step = max_train_secs, last_step
        self._saved_at = time.monotonic()
        self._failures = 0  # in a row

    def __call__(self, step: int) -> None:
        """Saves after a step if it is due, and ends the run if it was asked to.

        Raises:
            exits.Refusal: With `PREEMPTED` after a signal.
            FinishedError: When the time for training is used up.
        """
        out_of_time = 0 < self._max_train_secs <= self._watch.total_secs()
        due = (
            step % self._every_steps == 0
            or step == self._last_step
            or time.monotonic() - self._saved_at >= self._every_secs
            or self._stop.reason is not None
            or out_of_time
        )
        if due:
            ending = step == self._last_step or out_of_time or self._stop.reason
            with self._watch.excluded():
                self._save_or_complain(step, last_chance=bool(ending))
            self._saved_at = time.monotonic()
        if self._stop.reason is not None and step != self._last_step:
            raise exits.Refusal(
                exits.PREEMPTED,
                f"stopped by {self._stop.reason} after step {step}, which is saved; "
                "the same command goes on from there",
            )
        if out_of_time:
            raise FinishedError("time")

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


def write_events(
    events: tf.summary.SummaryWriter, step: int, values: dict[str, Any]
) -> None:
    """Writes numbers to TensorBoard."""
    with events.as_default():
        for name, value in values.items():
            if name != "step":
                tf.summary.scalar(name, value, step=step)
    events.flush()
