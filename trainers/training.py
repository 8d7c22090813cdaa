"""A training run of any task, once it is prepared: run and summed up."""

import dataclasses
import functools
import itertools
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline import (
    exits,
    fail_points,
    input_pipeline,
    locations,
    manifest,
    progress,
    vocabulary,
)
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
    out_of_memory,
    resuming,
    schedules,
    summary,
)
from trainers import run as run_lib

_SHORTER_VALID = (
    "build the data without them (--max_bytes), or train without validation, "
    "--eval_every_steps=0"
)


def begin(
    ready: run_lib.Run,
    data_dir: locations.Location,
    entries: Sequence[manifest.Vocabulary],
    flags: list[str],
) -> None:
    """Writes down what the run is, and trains until the last step.

    Args:
        ready: The run. A command that its checkpoint refuses has changed nothing.
        data_dir: With its vocabularies, which it keeps.
        entries: Of those, source first.
        flags: Lines of the flagfile that repeats it.

    Raises:
        exits.Refusal: If the run was stopped, or diverged, or memory has no room, or
            another worker is lost.
    """
    if ready.over.is_chief:
        vocabulary.copy(data_dir, entries, ready.directory.vocabulary)
    changed = ready.directory.write_flags(flags)
    resuming.note_flags(ready.state, changed, ready.next_step - 1)
    with ready.over.noticing_losses():
        _run(ready)


def _run(ready: run_lib.Run) -> None:
    finished = _finished(ready)
    if finished is not None:
        progress.logger.info("already finished at step %d", ready.next_step - 1)
        summary.complete(ready, finished)
        _report(ready, again=False)
        return
    if ready.stop:
        raise exits.Refusal(
            exits.PREEMPTED,
            f"stopped by {ready.stop.reason} before the first step; the same command "
            "goes on",
        )
    _announce(ready)
    _announce_checkpoints(ready)
    batches = memory_trial.largest_batches(
        ready.source.plan, ready.source.kind, ready.over.worker.num_workers
    )
    work = f"training with batches of {memory_trial.told(batches)}"
    with out_of_memory.refused(work, out_of_memory.TRAINING):
        _try_memory(ready, batches)
        if ready.config.run.xla:
            _compile(ready)
    if ready.validation is not None:
        with out_of_memory.refused("the longest lines of valid", _SHORTER_VALID):
            ready.validation.try_memory()
    _loop(ready, work)
    _report(ready, again=True)


def _report(ready: run_lib.Run, *, again: bool) -> None:
    """Writes the page of a run that has ended, if it is wanted.

    Args:
        ready: The run.
        again: Whether one that is there already is written anew.
    """
    if not ready.over.is_chief:
        return
    # Loaded here: a run that is stopped, or wants no page, does not wait for it.
    from trainers.reporting import writing

    there = (ready.directory.path / writing.FILENAME).is_file()
    if ready.config.run.report and (again or not there):
        writing.write_after(ready.config, ready.source.plan)


def _finished(ready: run_lib.Run) -> str | None:
    """Returns why the run is over already, if it is."""
    if ready.state.unvalidated:
        return None
    if ready.state.early_stop:
        return "early_stop"
    limit = ready.config.run.max_train_secs
    if 0 < limit <= ready.watch.total_secs():
        return "time"
    return "steps" if ready.next_step > ready.config.run.num_steps else None


def _announce(ready: run_lib.Run) -> None:
    """Says what will be trained on what."""
    plan = ready.source.plan
    num_batches, exact = plan.about_batches(0)
    progress.logger.info(
        "%s weights; %s examples, %d buckets, %s batches in the first epoch, plan %s; "
        "reads ahead at most %d MiB",
        f"{ready.step.num_weights:,}",
        f"{plan.num_examples:,}",
        len(plan.buckets),
        f"{num_batches}" if exact else f"about {num_batches:,}",
        plan.digest,
        -(-input_pipeline.read_ahead_bytes(ready.source) // 2**20),
    )
    if plan.num_too_long:
        progress.logger.warning(
            "%s pairs are longer than --max_length and left out",
            f"{plan.num_too_long:,}",
        )
    for line in config.doubts(ready.config):
        progress.logger.warning("%s", line)


def _announce_checkpoints(ready: run_lib.Run) -> None:
    """Says how large checkpoints are, and warns where there may be no room for them."""
    asked = ready.config.run
    size = sum(
        variable.dtype.size * variable.shape.num_elements()
        for variable in naming.variables(ready.step).values()
    )
    # And one saved since because of a signal or the clock, the best, the one written.
    needed = size * (asked.keep_checkpoints + 3)
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


def _try_memory(ready: run_lib.Run, batches: Sequence[Any]) -> None:
    """Runs the largest batches of the plan through the step, without an effect."""
    ready.step.try_memory(batches)
    begin = time.monotonic()
    ready.step.try_memory(batches[-1:])  # again: now nothing is prepared for its shape
    parts = ready.config.optimizer.accumulate_steps
    # Of several parts it has run one that is added up and one that updates.
    secs = (time.monotonic() - begin) * parts / min(parts, 2)
    steps = ready.config.run.num_steps - ready.next_step + 1
    progress.logger.info(
        "tried the largest batches, %s: %.0f MiB at most; a step takes up to %.2f s, "
        "%s steps at most %s",
        memory_trial.told(batches),
        clock.peak_rss_mb(),
        secs,
        f"{steps:,}",
        progress.duration(secs * steps),
    )


def _compile(ready: run_lib.Run) -> None:
    """Runs a batch of every shape there can be, so that none is compiled later."""
    shapes, kind = ready.source.plan.shapes(), ready.source.kind
    with progress.Progress("compiling", unit="shapes", total=len(shapes)) as bar:
        batches = (kind.full(*shape) for shape in shapes)
        ready.step.try_memory(batches, on_batch=lambda: bar.update(1))


def _loop(ready: run_lib.Run, told: str) -> None:
    """Takes the steps, and writes the summary however the run ends.

    Args:
        ready: The run.
        told: What is said to be too much where memory runs out.
    """
    last, first = ready.config.run.num_steps, ready.next_step
    shapes: set[tuple[tuple[int, ...], ...]] = set()
    stream = input_pipeline.Stream(ready.source, ready.cursor, reader=ready.over.reader)
    with progress.Progress("training", unit="steps", total=last, done=first - 1) as bar:
        log = actions.Log(
            ready.step,
            stream,
            ready.directory,
            ready.watch,
            bar,
            ready.task,
            every=ready.config.run.log_every_steps,
            last_step=last,
        )
        if first == 1:
            log.lengths(_sample_of_lengths(ready.source.plan))
        profile = _profile(ready)
        watching = _watching(ready, log)
        if profile:
            watching.append(profile)
        judging = _judging(ready, stream, bar)

        def summarize(finished: str) -> None:
            work = summary.Work(stream.cursor.epoch, len(shapes), log.sums, log.waited)
            summary.write(ready, work, finished)

        try:
            batches = _micro_batches(
                stream, ready.config.optimizer.accumulate_steps, shapes
            )
            with out_of_memory.refused(told, out_of_memory.TRAINING):
                finished = _take_steps(ready, batches, watching, judging)
        except exits.Refusal as refusal:
            reasons = {exits.PREEMPTED: "preempted", exits.DIVERGED: "diverged"}
            summarize(reasons.get(refusal.code, "refused"))
            raise
        finally:
            stream.close()
            if profile:
                profile.close()
    fail_points.reach("summary.before")
    summarize(finished)


def _take_steps(
    ready: run_lib.Run,
    batches: Iterator[list[Any]],
    watching: Sequence[loop.Action],
    judging: Sequence[loop.Action],
) -> str:
    """Takes the steps that are left, and returns why they end."""
    last, first = ready.config.run.num_steps, ready.next_step
    schedule = schedules.make(ready.config.schedule, last)
    ready.watch.restart_window()
    try:
        if ready.state.unvalidated:  # a signal cut this short
            for action in judging:
                action(first - 1)
        loop.run(
            ready.step,
            batches,
            lambda step: schedule(step) * ready.state.rate_factor,
            [*watching, *judging],
            first_step=first,
            num_steps=last,
        )
    except actions.FinishedError as reason:
        return str(reason)
    return "steps"


def _sample_of_lengths(plan: plan_lib.Plan) -> np.ndarray:
    """Returns the token counts of the first pool's pairs, uint16 [N, 2]."""
    shards = np.concatenate(plan.pools(0)[0])
    return np.concatenate([plan.lengths(shard, 0) for shard in shards])


def _watching(ready: run_lib.Run, log: actions.Log) -> list[loop.Action]:
    """Returns the actions that only look: at figures, at gradients, at times."""
    asked = ready.config
    return [
        log,
        actions.Watch(ready.step, asked.optimizer.max_bad_steps, asked.run.num_steps),
    ]


def _profile(ready: run_lib.Run) -> actions.Profile | None:
    """Returns the action that takes a profile, if one is asked for."""
    steps = ready.config.run.profiled
    return actions.Profile(ready.directory, *steps) if steps else None


def _judging(
    ready: run_lib.Run, stream: input_pipeline.Stream, bar: progress.Progress
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
                over=ready.over,
            )
        )
    found.append(
        actions.Save(
            functools.partial(_save, ready, stream),
            ready.stop,
            ready.state,
            ready.watch,
            ready.config.run,
            ready.over,
        )
    )
    return found


def _micro_batches(
    stream: input_pipeline.Stream, count: int, shapes: set[tuple[tuple[int, ...], ...]]
) -> Iterator[list[Any]]:
    """Yields the batches of each step, noting their shapes."""
    while True:
        batches = list(itertools.islice(stream, count))
        for batch in batches:
            shapes.add(tuple(tuple(value.shape) for value in batch))
        yield batches


def _save(ready: run_lib.Run, stream: input_pipeline.Stream, step: int) -> None:
    if not ready.over.is_chief:
        return
    state = {
        **dataclasses.asdict(ready.state),
        "cursor": list(stream.cursor),
        "secs": ready.watch.total_secs(),
        "machine": machine.describe(ready.over.count),
    }
    directory = ready.directory.checkpoints
    checkpoints.save(directory, step, naming.variables(ready.step), state)
    asked = ready.config.run

    def is_scheduled(of: int) -> bool:
        return of % asked.save_every_steps == 0 or of == asked.num_steps

    checkpoints.prune(directory, asked.keep_checkpoints, is_scheduled)
