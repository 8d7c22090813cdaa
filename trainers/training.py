"""A training run: made, resumed, run, summed up."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from pipeline import config as pipeline_config
from pipeline import exits, input_pipeline, manifest, mixing, progress
from pipeline import plan as plan_lib
from trainers import (
    actions,
    checkpoints,
    clock,
    config,
    loop,
    naming,
    run_directory,
    schedules,
    signals,
    train_step,
)

_VALID_BUCKETS = 16
_VALID_TOKENS = pipeline_config.DEFAULT_TOKENS


@dataclasses.dataclass
class Run:
    """Everything a run consists of, ready for the next step."""

    config: config.Seq2SeqConfig
    directory: run_directory.RunDirectory
    step: train_step.TrainStep
    evaluation: train_step.EvaluationStep
    source: input_pipeline.Source
    valid: input_pipeline.Source | None
    stream: input_pipeline.Stream
    state: actions.RunState
    watch: clock.Clock

    @property
    def next_step(self) -> int:
        """The step about to be taken, from 1."""
        return int(self.step.step.numpy()) + 1


def prepare(
    asked: config.Seq2SeqConfig,
    corpora: Sequence[mixing.Corpus],
    facts: dict[str, Any],
    model: tf.Module,
) -> Run:
    """Plans the data, makes the step, and restores the newest checkpoint.

    Args:
        asked: The config.
        corpora: What to train on.
        facts: What a resumed run must find unchanged, such as its flags.
        model: With fresh weights.

    Raises:
        exits.Refusal: If the run cannot be what was asked.
    """
    multiple = 8 if tf.config.list_physical_devices("GPU") else 1
    source = input_pipeline.open_corpora(
        corpora,
        "train",
        asked.batch,
        seed=asked.run.seed,
        default_multiple=multiple,
    )
    directory = run_directory.RunDirectory(asked.run.workdir_path)
    step = train_step.TrainStep(
        model,
        asked.optimizer,
        label_smoothing=asked.run.label_smoothing,
        seed=asked.run.seed,
    )
    state = actions.RunState({**facts, "plan": source.plan.digest})
    cursor, secs = _restore(directory, step, state)
    directory.truncate_logs(int(step.step.numpy()))
    return Run(
        config=asked,
        directory=directory,
        step=step,
        evaluation=train_step.EvaluationStep(model),
        source=source,
        valid=_open_valid(asked),
        stream=input_pipeline.Stream(source, cursor),
        state=state,
        watch=clock.Clock(secs),
    )


def run(ready: Run) -> None:
    """Trains until the last step.

    Raises:
        exits.Refusal: If the run was stopped, or diverged.
    """
    if _is_finished(ready):
        progress.logger.info("already finished at step %d", ready.next_step - 1)
        ready.stream.close()
        return
    stop = signals.StopRequest()
    _announce(ready)
    _loop(ready, stop)


def _open_valid(asked: config.Seq2SeqConfig) -> input_pipeline.Source | None:
    """Returns the valid split, whole whatever its lengths, if there is one."""
    facts = manifest.read(asked.run.data_path)
    if not asked.run.eval_every_steps or not facts.splits["valid"].num_records:
        return None
    longest = int(facts.splits["valid"].joint_histogram()[:, :2].max()) + 1
    batch = pipeline_config.BatchConfig(
        tokens_per_batch=max(asked.batch.tokens or _VALID_TOKENS, longest),
        num_buckets=_VALID_BUCKETS,
    )
    return input_pipeline.open_split(asked.run.data_path, "valid", batch, seed=0)


def _restore(
    directory: run_directory.RunDirectory,
    step: train_step.TrainStep,
    state: actions.RunState,
) -> tuple[plan_lib.Cursor, float]:
    """Restores the newest checkpoint; returns the cursor and the seconds spent before.

    Raises:
        exits.Refusal: With `MISMATCH` if the run was begun with other flags or data.
    """
    checkpoints.remove_partial(directory.checkpoints)
    newest = checkpoints.read_newest(directory.checkpoints)
    if newest is None:
        return plan_lib.Cursor(), 0.0
    number, tensors, saved = newest
    differing = _differences(saved["facts"], state.facts)
    if differing:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--workdir={directory.path} was begun otherwise ({'; '.join(differing)}); "
            "use the flags it was begun with, or another --workdir",
        )
    source = str(checkpoints.path_of(directory.checkpoints, number))
    checkpoints.restore(tensors, naming.variables(step), source)
    state.best, state.history = saved["best"], saved["history"]
    state.num_resumes = saved["num_resumes"] + 1
    progress.logger.info("resumed after step %d", number)
    return plan_lib.Cursor(*saved["cursor"]), saved["secs"]


def _differences(
    saved: dict[str, Any], asked: dict[str, Any], at: str = ""
) -> list[str]:
    """Returns the facts that differ, each as a phrase."""
    found = []
    for name in sorted(saved.keys() | asked.keys()):
        old, new = saved.get(name), asked.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, "--")
        elif old != new:
            found.append(f"{at}{name}: {old} there, {new} asked")
    return found


def _is_finished(ready: Run) -> bool:
    limit = ready.config.run.max_train_secs
    out_of_time = 0 < limit <= ready.watch.total_secs()
    return ready.next_step > ready.config.run.num_steps or out_of_time


def _announce(ready: Run) -> None:
    plan = ready.source.plan
    progress.logger.info(
        "%s weights; %s examples, %d buckets, %d batches in the first epoch, plan %s; "
        "reads ahead at most %d MiB",
        f"{ready.step.num_weights:,}",
        f"{plan.num_examples:,}",
        len(plan.buckets),
        plan.num_batches(0),
        plan.digest,
        -(-input_pipeline.read_ahead_bytes(ready.source) // 2**20),
    )
    if plan.num_too_long:
        progress.logger.warning(
            "%s pairs are longer than --max_length and left out",
            f"{plan.num_too_long:,}",
        )


def _loop(ready: Run, stop: signals.StopRequest) -> None:
    """Takes the steps, and writes the summary however the run ends."""
    asked = ready.config.run
    last = asked.num_steps
    first = ready.next_step
    shapes: set[tuple[int, ...]] = set()
    with progress.Progress("training", unit="steps", total=last, done=first - 1) as bar:
        log = actions.Log(
            ready.step,
            ready.stream,
            ready.directory,
            ready.watch,
            bar,
            every=asked.log_every_steps,
            last_step=last,
        )
        summarize = functools.partial(_write_summary, ready, log, shapes)
        after_step: list[loop.Action] = [log]
        if ready.valid is not None:
            after_step.append(_evaluate(ready, ready.valid, bar))
        after_step.append(
            actions.Save(
                ready.step,
                functools.partial(_save, ready),
                stop,
                ready.watch,
                every_steps=asked.save_every_steps,
                every_secs=asked.save_every_secs,
                max_train_secs=asked.max_train_secs,
                last_step=last,
            )
        )
        finished = "steps"
        try:
            loop.run(
                ready.step,
                _noting_shapes(ready.stream, shapes),
                schedules.make(ready.config.schedule),
                after_step,
                first_step=first,
                num_steps=last,
            )
        except actions.FinishedError as reason:
            finished = str(reason)
        except exits.Refusal as refusal:
            reasons = {exits.PREEMPTED: "preempted", exits.DIVERGED: "diverged"}
            summarize(reasons.get(refusal.code, "refused"))
            raise
        finally:
            ready.stream.close()
    summarize(finished)


def _evaluate(
    ready: Run, valid: input_pipeline.Source, bar: progress.Progress
) -> actions.Evaluate:
    def validation() -> dict[str, float]:
        return ready.evaluation(input_pipeline.epoch(valid))

    return actions.Evaluate(
        ready.step,
        validation,
        ready.directory,
        ready.state,
        ready.watch,
        bar,
        every=ready.config.run.eval_every_steps,
        last_step=ready.config.run.num_steps,
    )


def _noting_shapes(stream: input_pipeline.Stream, shapes: set[tuple[int, ...]]) -> Any:
    for batch in stream:
        shapes.add((*batch.src_ids.shape, batch.tgt_in_ids.shape[1]))
        yield batch


def _save(ready: Run, step: int) -> None:
    state = {
        **dataclasses.asdict(ready.state),
        "cursor": list(ready.stream.cursor),
        "secs": ready.watch.total_secs(),
    }
    directory = ready.directory.checkpoints
    checkpoints.save(directory, step, naming.variables(ready.step), state)
    asked = ready.config.run

    def is_scheduled(of: int) -> bool:
        return of % asked.save_every_steps == 0 or of == asked.num_steps

    checkpoints.prune(directory, asked.keep_checkpoints, is_scheduled)


def _write_summary(
    ready: Run, log: actions.Log, shapes: set[tuple[int, ...]], finished: str
) -> None:
    """Writes summary.json; rates are those of this process."""
    sums, watch = log.sums, ready.watch
    secs = max(watch.train_secs, 1e-9)
    real = sums.get("src_tokens", 0.0) + sums.get("num_tokens", 0.0)
    ready.directory.write_summary(
        {
            "step": int(ready.step.step.numpy()),
            "epoch": ready.stream.cursor.epoch,
            "finished": finished,
            "wall_secs": watch.total_secs(),
            "train_step_traces": ready.step.num_traces,
            "evaluation_step_traces": ready.evaluation.num_traces,
            "num_resumes": ready.state.num_resumes,
            "src_tokens_per_sec": sums.get("src_tokens", 0.0) / secs,
            "tgt_tokens_per_sec": sums.get("num_tokens", 0.0) / secs,
            "padding_fraction": 1 - real / max(sums.get("padded", 0.0), 1.0),
            "input_wait_fraction": ready.stream.wait_secs / secs,
            "step_ms_p50": watch.step_ms(50),
            "step_ms_p95": watch.step_ms(95),
            "batch_shapes": len(shapes),
            "dropped_too_long": ready.source.plan.num_too_long,
            "peak_rss_mb": clock.peak_rss_mb(),
            "num_weights": ready.step.num_weights,
            "skipped_nonfinite_steps": int(ready.step.skipped_steps.numpy()),
            "plan_digest": ready.source.plan.digest,
            "best": ready.state.best,
            "versions": {"tensorflow": tf.__version__},
        }
    )
