"""A run of any task, prepared: its step, its batches, and its newest checkpoint."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline import config as pipeline_config
from pipeline import (
    data_sources,
    examples,
    knobs,
    mixing,
    progress,
)
from pipeline import plan as plan_lib
from trainers import (
    auto_batch,
    clock,
    config,
    machine,
    memory_trial,
    naming,
    out_of_memory,
    replicas,
    resuming,
    run_directory,
    run_state,
    signals,
    starting,
    tasks,
    train_step,
    validation,
)
from trainers import run as run_lib

_GPU_MULTIPLE = 8  # of the widths of buckets, unless --bucket_multiple says another


class Parts(NamedTuple):
    """What a task brings to a run.

    Attributes:
        task: What its batches are.
        model: With fresh weights.
        pieces: Its subwords.
        validate: Returns how to validate for a config with a budget, if the run is to
            be; called once the checkpoint agrees.
        kind: Of the examples; None for what the data says.
    """

    task: tasks.Task
    model: tf.Module
    pieces: starting.Pieces
    validate: Callable[[Any], validation.Validate | None]
    kind: examples.Kind | None = None


def prepare(
    asked: config.TrainConfig,
    parts: Parts,
    corpora: Sequence[mixing.Corpus],
    facts: dict[str, Any],
    *,
    dtype: str,
    stop: signals.StopRequest,
    over: replicas.Replicas = replicas.ALONE,
) -> run_lib.Run:
    """Makes the step, and restores the newest checkpoint.

    Args:
        asked: The config.
        parts: The task's.
        corpora: What to train on.
        facts: What a resumed run must find unchanged, such as its flags.
        dtype: What the model computes in.
        stop: Whether the process was asked to stop.
        over: The replicas, in whose scope the model was made.

    Raises:
        exits.Refusal: If the run cannot be what was asked.
    """
    directory = run_directory.RunDirectory(asked.run.workdir_path, over.worker.number)
    step = _make_step(asked, parts, dtype, over)
    if asked.batch.tokens_per_batch == pipeline_config.AUTO:
        saved = resuming.saved_flag(directory, "tokens_per_batch")
        tokens = saved or _fitting_tokens(asked, corpora, parts.kind, step)
        progress.logger.info("--tokens_per_batch=auto is %d", tokens)
        asked = auto_batch.with_tokens(asked, tokens)
        facts = {**facts, "flags": {**facts["flags"], "tokens_per_batch": tokens}}
    source = open_source(asked, corpora, parts.kind)
    state = run_state.RunState({**facts, "plan": source.plan.digest})
    watch, cursor = _restored(asked, directory, step, state, over)
    if not step.step.numpy():
        _begin(asked.start, parts, step, directory)
    directory.truncate_logs(int(step.step.numpy()), unvalidated=state.unvalidated)
    return run_lib.Run(
        config=asked,
        task=parts.task,
        directory=directory,
        step=step,
        validation=parts.validate(asked),
        source=source,
        cursor=cursor,
        state=state,
        watch=watch,
        stop=stop,
        over=over,
    )


def open_source(
    asked: config.TrainConfig,
    corpora: Sequence[mixing.Corpus],
    kind: examples.Kind | None = None,
    *,
    on_gpu: bool | None = None,
) -> data_sources.Source:
    """Returns what to train on, with the plan of its batches.

    Args:
        asked: The config.
        corpora: What to train on.
        kind: Of the examples; None for what the data says.
        on_gpu: Where the run is, for the boundaries of buckets; None for here.

    Raises:
        exits.Refusal: If the settings leave nothing to read, or a file is missing.
    """
    if on_gpu is None:
        on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return data_sources.open_corpora(
        corpora,
        "train",
        asked.batch,
        seed=asked.run.seed,
        default_multiple=_GPU_MULTIPLE if on_gpu else 1,
        kind=kind,
    )


def _make_step(
    asked: config.TrainConfig, parts: Parts, dtype: str, over: replicas.Replicas
) -> train_step.TrainStep:
    names = list(naming.trainable(parts.model))
    with over.scope():
        return train_step.TrainStep(
            parts.model,
            asked.optimizer,
            label_smoothing=asked.run.label_smoothing,
            seed=asked.run.seed,
            dtype=dtype,
            spec=parts.task.spec,
            frozen=starting.frozen(names, asked.start.freeze),
            xla=asked.run.xla,
            over=over,
        )


def _fitting_tokens(
    asked: config.TrainConfig,
    corpora: Sequence[mixing.Corpus],
    kind: examples.Kind | None,
    step: train_step.TrainStep,
) -> int:
    """Returns the budget of tokens that memory has room for."""
    sides = np.concatenate(
        [
            corpus.facts.split("train").joint_histogram() * [1, 1, corpus.rate]
            for corpus in corpora
        ]
    )
    longer = sides[:, :2].max(axis=1) + 1  # with BOS or EOS
    kept = longer <= (asked.batch.max_length or longer.max())
    longest = int(longer[kept].max(initial=1))

    def peak_bytes(tokens: int) -> float:
        source = open_source(auto_batch.with_tokens(asked, tokens), corpora, kind)
        batches = memory_trial.largest_batches(source.plan, source.kind)
        work = f"training with batches of {memory_trial.told(batches)}"
        way_out = f"lower --max_length, or name a --tokens_per_batch below {tokens}"
        with out_of_memory.refused(work, way_out):
            step.try_memory(batches)
        return machine.peak_bytes()

    return auto_batch.fit(
        peak_bytes,
        room_bytes=machine.room_bytes(),
        least=auto_batch.least_tokens(asked.batch, longest, _GPU_MULTIPLE),
        epoch_tokens=int((longer * sides[:, 2])[kept].sum()),
    )


def _restored(
    asked: config.TrainConfig,
    directory: run_directory.RunDirectory,
    step: train_step.TrainStep,
    state: run_state.RunState,
    over: replicas.Replicas,
) -> tuple[clock.Clock, plan_lib.Cursor]:
    """Restores the newest checkpoint; returns the clock and the cursor it had."""
    cursor, secs = resuming.restore(
        directory,
        step,
        state,
        new_data=asked.run.new_data,
        defaults=knobs.defaults(asked),
        over=over,
    )
    return clock.Clock(secs), cursor


def _begin(
    asked: config.StartConfig,
    parts: Parts,
    step: train_step.TrainStep,
    directory: run_directory.RunDirectory,
) -> None:
    """Gives a new run the weights to begin with, and tells which they are."""
    reports = starting.begin(starting.weights_of(parts.model), asked, parts.pieces)
    step.restart_average()
    for report in reports:
        progress.logger.info("%s", report)
    directory.write_start([dataclasses.asdict(report) for report in reports])
