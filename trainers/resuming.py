"""A run goes on: its newest checkpoint, if what is asked now is the same run."""

import dataclasses
from typing import Any

import numpy as np

from pipeline import config as pipeline_config
from pipeline import exits, progress
from pipeline import plan as plan_lib
from trainers import (
    checkpoints,
    machine,
    naming,
    replicas,
    run_directory,
    run_state,
    train_step,
)


def restore(
    directory: run_directory.RunDirectory,
    step: train_step.TrainStep,
    state: run_state.RunState,
    *,
    new_data: bool,
    defaults: dict[str, Any],
    over: replicas.Replicas = replicas.ALONE,
) -> tuple[plan_lib.Cursor, float]:
    """Restores the newest checkpoint; returns the cursor and the seconds spent before.

    Args:
        directory: Of the run.
        step: What is restored.
        state: What is restored beside it.
        new_data: Whether to go on with other data.
        defaults: Values of flags, for those that the run was begun without knowing.
        over: The replicas that go on; the chief's process restores first.

    Raises:
        exits.Refusal: With `MISMATCH` if the run was begun with other flags or data.
    """
    expected = None if over.is_chief else over.from_chief(0)
    cursor, secs = _restore(
        directory, step, state, new_data=new_data, defaults=defaults, over=over
    )
    number = int(step.step.numpy())
    if expected is None:
        over.from_chief(number)
    elif number != expected:
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"--workdir={directory.checkpoints.parent}: worker {over.worker.number} "
            f"finds step {number} there, the chief step {expected}; it must be the "
            "same directory for all hosts",
        )
    return cursor, secs


def _restore(
    directory: run_directory.RunDirectory,
    step: train_step.TrainStep,
    state: run_state.RunState,
    *,
    new_data: bool,
    defaults: dict[str, Any],
    over: replicas.Replicas,
) -> tuple[plan_lib.Cursor, float]:
    newest = _newest(directory)
    if newest is None:
        return plan_lib.Cursor(), 0.0
    number, tensors, saved = newest
    cursor = plan_lib.Cursor(*saved["cursor"])
    state.restore(saved)
    old, asked = saved["facts"], state.facts
    old = {**old, "flags": {**defaults, **old["flags"]}}
    if new_data and (old["data"], old["plan"]) != (asked["data"], asked["plan"]):
        cursor = plan_lib.Cursor()
        state.forget_validations()
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
    _note_machine(state, saved.get("machine"), machine.describe(over.count), number)
    progress.logger.info("resumed after step %d", number)
    return cursor, saved["secs"]


def note_flags(state: run_state.RunState, changed: dict[str, str], step: int) -> None:
    """Says and notes which flags, of those that may change, a resumed run has anew.

    Args:
        state: Of the run.
        changed: Flags and `before -> now`.
        step: After which it goes on, 0 where it begins.
    """
    if not changed or not step:
        return
    state.history.append({"step": step, "flags": changed})
    told = "; ".join(f"{name}: {change}" for name, change in changed.items())
    progress.logger.info("with other flags than before: %s", told)


def saved_flag(directory: run_directory.RunDirectory, name: str) -> Any:
    """Returns what a flag was when the run was begun; None where it is not begun."""
    newest = _newest(directory)
    return newest[2]["facts"]["flags"][name] if newest else None


def _newest(
    directory: run_directory.RunDirectory,
) -> tuple[int, dict[str, np.ndarray], dict[str, Any]] | None:
    """Returns the newest checkpoint, once saves that were killed are ended."""
    for folder in (directory.checkpoints, directory.best):
        checkpoints.recover(folder)
    return checkpoints.read_newest(directory.checkpoints)


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
    state: run_state.RunState,
    before: dict[str, str] | None,
    now: dict[str, str],
    step: int,
) -> None:
    """Warns and notes where a resumed run is not comparable bit for bit any more."""
    if before is None:
        return
    changed = machine.differences(before, now)
    if not changed:
        return
    state.history.append({"step": step, "machine": changed})
    told = "; ".join(f"{name}: {change}" for name, change in changed.items())
    progress.logger.warning(
        "another machine than before (%s): the run goes on, but not bit for bit", told
    )
