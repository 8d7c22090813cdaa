"""summary.json: how a run went, written whenever it ends."""

import json
import platform
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from trainers import clock, machine, run_directory
from trainers import run as run_lib


class Work(NamedTuple):
    """What this process has done of a run.

    Attributes:
        epoch: In which it ended.
        num_shapes: Distinct shapes of its batches.
        sums: Of tokens and the like over its steps, by name.
        waited_secs: Seconds that its steps waited for batches.
    """

    epoch: int
    num_shapes: int = 0
    sums: Mapping[str, float] = types.MappingProxyType({})
    waited_secs: float = 0.0


def write(ready: run_lib.Run, work: Work, finished: str) -> None:
    """Writes summary.json; rates are those of this process, null if it took no step."""
    sums, watch = work.sums, ready.watch
    real = sums.get("src_tokens", 0.0) + sums.get("num_tokens", 0.0)
    padded, secs = sums.get("padded", 0.0), watch.train_secs

    def rate(name: str) -> float | None:
        return sums.get(name, 0.0) / secs if secs else None

    ready.directory.write_summary(
        {
            **_standing(ready, finished),
            "epoch": work.epoch,
            "train_step_traces": ready.step.num_traces,
            "evaluation_step_traces": (
                ready.validation.num_traces if ready.validation else 0
            ),
            "src_tokens_per_sec": rate("src_tokens"),
            ready.task.rate: rate("num_tokens"),
            "padding_fraction": 1 - real / padded if padded else None,
            "input_wait_fraction": work.waited_secs / secs if secs else None,
            "step_ms_p50": watch.step_ms(50),
            "step_ms_p95": watch.step_ms(95),
            "batch_shapes": work.num_shapes,
            "dropped_too_long": ready.source.plan.num_too_long,
            "peak_rss_mb": clock.peak_rss_mb(),
        }
    )


def _standing(ready: run_lib.Run, finished: str) -> dict[str, Any]:
    """Returns what the summary says of the run, whatever this process did."""
    return {
        "step": int(ready.step.step.numpy()),
        "finished": finished,
        "wall_secs": ready.watch.total_secs(),
        "num_resumes": ready.state.num_resumes,
        "num_weights": ready.step.num_weights,
        "skipped_nonfinite_steps": int(ready.step.skipped_steps.numpy()),
        "plan_digest": ready.source.plan.digest,
        "best": ready.state.best,
        "history": ready.state.history,
        "versions": {
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
        },
        "machine": machine.describe(ready.over.count),
    }


def complete(ready: run_lib.Run, finished: str) -> None:
    """Writes the summary of a finished run that was killed before it could."""
    path = ready.directory.path / run_directory.SUMMARY
    written: dict[str, Any] = {}
    if path.is_file():
        written = json.loads(path.read_text(encoding="utf-8"))
    step = int(ready.step.step.numpy())
    if (written.get("step"), written.get("finished")) != (step, finished):
        write(ready, Work(ready.cursor.epoch), finished)
