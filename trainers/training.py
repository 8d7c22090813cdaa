"""A training run: made, resumed, run, summed up."""

import dataclasses
import functools
import itertools
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline import (
    batching,
    exits,
    fail_points,
    input_pipeline,
    manifest,
    mixing,
    progress,
    vocabulary,
)
from pipeline import config as pipeline_config
from pipeline import plan as plan_lib
from trainers import (
    actions,
    checkpoints,
    clock,
    config,
    loop,
    machine,
    memory_trial,
    naming,
    run_directory,
    run_state,
    schedules,
    signals,
    train_step,
    validation,
)

_VALID_BUCKETS = 16
_VALID_TOKENS = pipeline_config.DEFAULT_TOKENS


@dataclasses.dataclass
class Run:
    """Everything a run consists of, ready for the next step."""

    config: config.Seq2SeqConfig
    directory: run_directory.RunDirectory
    step: train_step.TrainStep
    validation: validation.Validation | None
    source: input_pipeline.Source
    cursor: plan_lib.Cursor
    state: run_state.RunState
    watch: clock.Clock
    stop: signals.StopRequest

    @property
    def next_step(self) -> int:
        """The step about to be taken, from 1."""
        return int(self.step.step.numpy()) + 1


def prepare(
    asked: config.Seq2SeqConfig,
    corpora: Sequence[mixing.Corpus],
    vocabularies: vocabulary.Vocabularies,
    facts: dict[str, Any],
    model: tf.Module,
    dtype: str,
    stop: signals.StopRequest,
) -> Run:
    """Plans the data, makes the step, and restores the newest checkpoint.

    Args:
        asked: The config.
        corpora: What to train on.
        vocabularies: Of the data.
        facts: What a resumed run must find unchanged, such as its flags.
        model: With fresh weights.
        dtype: What it computes in.
        stop: Whether the process was asked to stop.

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
        dtype=dtype,
    )
    state = run_state.RunState({**facts, "plan": source.plan.digest})
    cursor, secs = _restore(directory, step, state, new_data=asked.run.new_data)
    directory.truncate_logs(int(step.step.numpy()), unvalidated=state.unvalidated)
    return Run(
        config=asked,
        directory=directory,
        step=step,
        validation=_validation(asked, vocabularies, model, stop),
        source=source,
        cursor=cursor,
        state=state,
        watch=clock.Clock(secs),
        stop=stop,
    )


def run(ready: Run) -> None:
    """Trains until the last step.

    Raises:
        exits.Refusal: If the run was stopped, or diverged.
    """
    finished = _finished(ready)
    if finished is not None:
        progress.logger.info("already finished at step %d", ready.next_step - 1)
        _complete_summary(ready, finished)
        return
    if ready.stop:
        raise exits.Refusal(
            exits.PREEMPTED,
            f"stopped by {ready.stop.reason} before the first step; the same command "
            "goes on",
        )
    _announce(ready)
    _try_memory(ready)
    _loop(ready)


def _validation(
    asked: config.Seq2SeqConfig,
    vocabularies: vocabulary.Vocabularies,
    model: tf.Module,
    stop: signals.StopRequest,
) -> validation.Validation | None:
    """Returns how to validate: the valid split, whole whatever its lengths."""
    facts = manifest.read(asked.run.data_path)
    held_out = facts.splits["valid"]
    if not asked.validation.eval_every_steps or not held_out.num_records:
        return None
    longest = int(held_out.joint_histogram()[:, :2].max()) + 1
    batch = pipeline_config.BatchConfig(
        tokens_per_batch=max(asked.batch.tokens or _VALID_TOKENS, longest),
        num_buckets=_VALID_BUCKETS,
    )
    return validation.Validation(
        model,
        input_pipeline.open_split(asked.run.data_path, "valid", batch, seed=0),
        vocabularies,
        asked.validation,
        lowercase=bool(facts.settings.get("lowercase")),
        is_stopping=lambda: bool(stop),
    )


def _restore(
    directory: run_directory.RunDirectory,
    step: train_step.TrainStep,
    state: run_state.RunState,
    *,
    new_data: bool,
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
    cursor = plan_lib.Cursor(*saved["cursor"])
    state.restore(saved)
    old, asked = saved["facts"], state.facts
    if new_data and (old["data"], old["plan"]) != (asked["data"], asked["plan"]):
        cursor = plan_lib.Cursor()
        state.history.append({"step": number, "new_data": asked["data"][:16]})
        old = {**old, "flags": _without_batches(old["flags"], asked["flags"])}
        old |= {"data": asked["data"], "plan": asked["plan"]}
    differing = _differences(old, asked)
    if differing:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--workdir={directory.path} was begun otherwise ({'; '.join(differing)}); "
            "use the flags it was begun with, another --workdir, or --new_data for "
            "other data",
        )
    source = str(checkpoints.path_of(directory.checkpoints, number))
    checkpoints.restore(tensors, naming.variables(step), source)
    state.num_resumes += 1
    _note_machine(state, saved.get("machine"), number)
    progress.logger.info("resumed after step %d", number)
    return cursor, saved["secs"]


def _without_batches(old: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Returns old flags, those about batches as they are asked for now."""
    names = {field.name for field in dataclasses.fields(pipeline_config.BatchConfig)}
    return {**old, **{name: asked[name] for name in names & asked.keys()}}


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


def _note_machine(
    state: run_state.RunState, before: dict[str, str] | None, step: int
) -> None:
    """Warns and notes where a resumed run is not comparable bit for bit any more."""
    now = machine.describe()
    if before is None or before == now:
        return
    changed = {
        name: f"{before.get(name)} -> {value}"
        for name, value in now.items()
        if before.get(name) != value
    }
    state.history.append({"step": step, "machine": changed})
    told = "; ".join(f"{name}: {change}" for name, change in changed.items())
    progress.logger.warning(
        "another machine than before (%s): the run goes on, but not bit for bit", told
    )


def _finished(ready: Run) -> str | None:
    """Returns why the run is over already, if it is."""
    if ready.state.unvalidated:
        return None
    if ready.state.early_stop:
        return "early_stop"
    limit = ready.config.run.max_train_secs
    if 0 < limit <= ready.watch.total_secs():
        return "time"
    return "steps" if ready.next_step > ready.config.run.num_steps else None


def _announce(ready: Run) -> None:
    plan, asked = ready.source.plan, ready.config.run
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
    size = sum(
        variable.dtype.size * variable.shape.num_elements()
        for variable in naming.variables(ready.step).values()
    )
    needed = size * (asked.keep_checkpoints + 2)  # and the best, and the one written
    free = shutil.disk_usage(asked.workdir_path).free
    progress.logger.info(
        "checkpoints of %.1f MB, %d kept: %.0f MB of %.0f MB free",
        size / 1e6,
        asked.keep_checkpoints,
        needed / 1e6,
        free / 1e6,
    )
    if free < needed:
        progress.logger.warning(
            "--workdir=%s: there may be too little room for the checkpoints",
            asked.workdir_path,
        )


def _try_memory(ready: Run) -> None:
    """Runs the largest batches of the plan through the step, without an effect."""
    batches = memory_trial.largest_batches(ready.source.plan)
    ready.step.try_memory(batches)
    begin = time.monotonic()
    ready.step.try_memory(batches[-1:])  # again: now nothing is prepared for its shape
    secs = time.monotonic() - begin
    steps = ready.config.run.num_steps - ready.next_step + 1
    progress.logger.info(
        "tried the largest batches, %s: %.0f MiB at most; a step takes up to %.2f s, "
        "%s steps at most %s",
        memory_trial.told(batches),
        clock.peak_rss_mb(),
        secs,
        f"{steps:,}",
        progress.duration(secs * steps * ready.config.optimizer.accumulate_steps),
    )


def _loop(ready: Run) -> None:
    """Takes the steps, and writes the summary however the run ends."""
    asked = ready.config.run
    last, first = asked.num_steps, ready.next_step
    shapes: set[tuple[int, ...]] = set()
    stream = input_pipeline.Stream(ready.source, ready.cursor)
    schedule = schedules.make(ready.config.schedule, last)
    with progress.Progress("training", unit="steps", total=last, done=first - 1) as bar:
        log = actions.Log(
            ready.step,
            stream,
            ready.directory,
            ready.watch,
            bar,
            every=asked.log_every_steps,
            last_step=last,
        )
        if first == 1:
            log.lengths(_sample_of_lengths(ready.source.plan))
        watching: list[loop.Action] = [
            log,
            actions.Watch(ready.step, ready.config.optimizer.max_bad_steps, last),
        ]
        if asked.profiled:
            watching.append(actions.Profile(ready.directory, *asked.profiled))
        judging = _judging(ready, stream, bar)
        summarize = functools.partial(_write_summary, ready, log, stream, shapes)
        finished = "steps"
        ready.watch.restart_window()
        try:
            if ready.state.unvalidated:  # a signal cut this short
                for action in judging:
                    action(first - 1)
            loop.run(
                ready.step,
                _micro_batches(stream, ready.config.optimizer.accumulate_steps, shapes),
                lambda step: schedule(step) * ready.state.rate_factor,
                [*watching, *judging],
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
            stream.close()
    fail_points.reach("summary.before")
    summarize(finished)


def _sample_of_lengths(plan: plan_lib.Plan) -> np.ndarray:
    """Returns the token counts of the first pool's pairs, uint16 [N, 2]."""
    shards = np.concatenate(plan.pools(0)[0])
    return np.concatenate([plan.lengths(shard, 0) for shard in shards])


def _judging(
    ready: Run, stream: input_pipeline.Stream, bar: progress.Progress
) -> list[loop.Action]:
    """Returns the actions that validate, save and end the run."""
    found: list[loop.Action] = []
    if ready.validation is not None:
        found.append(
            actions.Evaluate(
                ready.step,
                ready.validation,
                ready.directory,
                ready.state,
                ready.watch,
                bar,
                ready.config,
            )
        )
    found.append(
        actions.Save(
            functools.partial(_save, ready, stream),
            ready.stop,
            ready.state,
            ready.watch,
            ready.config.run,
        )
    )
    return found


def _micro_batches(
    stream: input_pipeline.Stream, count: int, shapes: set[tuple[int, ...]]
) -> Iterator[list[batching.Batch]]:
    """Yields the batches of each step, noting their shapes."""
    while True:
        batches = list(itertools.islice(stream, count))
        for batch in batches:
            shapes.add((*batch.src_ids.shape, batch.tgt_in_ids.shape[1]))
        yield batches


def _save(ready: Run, stream: input_pipeline.Stream, step: int) -> None:
    state = {
        **dataclasses.asdict(ready.state),
        "cursor": list(stream.cursor),
        "secs": ready.watch.total_secs(),
        "machine": machine.describe(),
    }
    directory = ready.directory.checkpoints
    checkpoints.save(directory, step, naming.variables(ready.step), state)
    asked = ready.config.run

    def is_scheduled(of: int) -> bool:
        return of % asked.save_every_steps == 0 or of == asked.num_steps

    checkpoints.prune(directory, asked.keep_checkpoints, is_scheduled)


def _write_summary(
    ready: Run,
    log: actions.Log,
    stream: input_pipeline.Stream,
    shapes: set[tuple[int, ...]],
    finished: str,
) -> None:
    """Writes summary.json; rates are those of this process, null if it took no step."""
    sums, watch = log.sums, ready.watch
    real = sums.get("src_tokens", 0.0) + sums.get("num_tokens", 0.0)
    padded, secs = sums.get("padded", 0.0), watch.train_secs

    def rate(name: str) -> float | None:
        return sums.get(name, 0.0) / secs if secs else None

    ready.directory.write_summary(
        {
            **_standing(ready, finished),
            "epoch": stream.cursor.epoch,
            "train_step_traces": ready.step.num_traces,
            "evaluation_step_traces": (
                ready.validation.step.num_traces if ready.validation else 0
            ),
            "src_tokens_per_sec": rate("src_tokens"),
            "tgt_tokens_per_sec": rate("num_tokens"),
            "padding_fraction": 1 - real / padded if padded else None,
            "input_wait_fraction": log.waited / secs if secs else None,
            "step_ms_p50": watch.step_ms(50),
            "step_ms_p95": watch.step_ms(95),
            "batch_shapes": len(shapes),
            "dropped_too_long": ready.source.plan.num_too_long,
            "peak_rss_mb": clock.peak_rss_mb(),
        }
    )


def _standing(ready: Run, finished: str) -> dict[str, Any]:
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
        "versions": {"tensorflow": tf.__version__},
    }


def _complete_summary(ready: Run, finished: str) -> None:
    """Writes the summary of a finished run that was killed before it could."""
    path = ready.directory.path / run_directory.SUMMARY
    standing = _standing(ready, finished)
    written: dict[str, Any] = {}
    if path.is_file():
        written = json.loads(path.read_text(encoding="utf-8"))
    if (written.get("step"), written.get("finished")) != (standing["step"], finished):
        ready.directory.write_summary({**written, **standing})
