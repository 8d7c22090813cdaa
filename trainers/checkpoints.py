"""Checkpoints: variables under explicit names, and the facts of the run.

`ckpt-<step>.index` and `ckpt-<step>.data-00000-of-00001` are in TensorFlow's checkpoint
format (`tf.train.load_checkpoint` reads them), but written by name and not by object
graph: a graph of Python objects leaves out, without a word, what it does not see, such
as layers in lists of a Keras model. Here the set of names saved is the set of names
that exist, and a restore that finds one name more or less refuses.

A save writes under another name, reads everything back and syncs it to the disk. Then
it renames the data first and the index last, twice: to `ready-<step>`, where an index
means that all is there, and from there to its own name, where a checkpoint of the same
step may stand already. A kill between the last two leaves an old index beside new data,
and `recover` does what was left to do.
"""

import contextlib
import errno
import json
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline import exits, fail_points, files, progress

RUN_STATE = "run_state"  # the facts of the run, as JSON, beside the variables
_INDEX = re.compile(r"ckpt-(\d+)\.index")
_DATA = re.compile(r"ckpt-(\d+)\.data-.*")
_PARTIAL, _READY, _WHOLE = "partial", "ready", "ckpt"
# What reading a damaged checkpoint raises, in the wild.
_DAMAGE = (tf.errors.OpError, IndexError, ValueError, AssertionError)
_MODEL, _AVERAGE = "model/", "ema/values/"  # how names of weights begin


class DamagedError(Exception):
    """A checkpoint that cannot be read."""


def steps(directory: pathlib.Path) -> list[int]:
    """Returns the steps that have a checkpoint, ascending."""
    found = (_INDEX.fullmatch(path.name) for path in directory.glob("ckpt-*.index"))
    return sorted(int(match.group(1)) for match in found if match)


def path_of(directory: pathlib.Path, step: int) -> pathlib.Path:
    """Returns the prefix of a step's checkpoint."""
    return directory / f"{_WHOLE}-{step}"


def save(
    directory: pathlib.Path,
    step: int,
    variables: Mapping[str, tf.Variable],
    run_state: Mapping[str, Any],
) -> pathlib.Path:
    """Writes a checkpoint, whole or not at all, on the disk before it returns.

    Args:
        directory: Made if it is not there.
        step: Of the run; names the files.
        variables: Everything that a restore must find, by name.
        run_state: Facts that are not tensors; JSON can write them.

    Returns:
        The prefix of the files.

    Raises:
        OSError: If the disk is full or what was written does not read back.
    """
    directory.mkdir(parents=True, exist_ok=True)
    recover(directory)
    partial = directory / f"{_PARTIAL}-{step}"
    tensors = {name: variable.numpy() for name, variable in variables.items()}
    warn_of_room(directory, sum(value.nbytes for value in tensors.values()))
    fail_points.reach("checkpoint.write.before")
    try:
        write(partial, tensors, run_state)
        fail_points.reach("checkpoint.write.after")
        _verify(partial, tensors)
    except OSError:
        _remove_leftovers(directory)  # they only take up the disk
        raise
    fail_points.reach("checkpoint.data.before")
    for part in sorted(directory.glob(f"{partial.name}.*")):
        files.fsync(part)
    _rename(partial, _READY, between="checkpoint.index.before")
    _rename(directory / f"{_READY}-{step}", _WHOLE, between="checkpoint.ready.between")
    fail_points.reach("checkpoint.index.after")
    return path_of(directory, step)


def warn_of_room(directory: pathlib.Path, size: int) -> None:
    """Warns where the disk has less room than two checkpoints of `size` bytes take."""
    free = shutil.disk_usage(directory).free
    if free < 2 * size:
        progress.logger.warning(
            "%s: %.0f MB are free and a checkpoint takes %.0f MB; make room",
            directory,
            free / 1e6,
            size / 1e6,
        )


def recover(directory: pathlib.Path) -> None:
    """Ends a killed save that had everything on the disk; removes what others left."""
    for index in sorted(directory.glob(f"{_READY}-*.index")):
        # Workers of one run recover at once: what is gone, another one has renamed.
        prefix = index.with_suffix("")
        _rename(prefix, _WHOLE, between="checkpoint.ready.between", missing_ok=True)
    _remove_leftovers(directory)


def _rename(
    prefix: pathlib.Path, kind: str, *, between: str, missing_ok: bool = False
) -> None:
    """Gives the data of a checkpoint a name of another kind, then its index.

    Raises:
        OSError: If a file cannot be renamed; with `missing_ok` it may be gone.
    """
    gone = (FileNotFoundError,) if missing_ok else ()
    directory, step = prefix.parent, prefix.name.rpartition("-")[2]
    for part in sorted(directory.glob(f"{prefix.name}.data-*")):
        with contextlib.suppress(*gone):
            part.rename(directory / f"{kind}-{step}{part.suffix}")
    fail_points.reach(between)
    index = directory / f"{prefix.name}.index"
    with contextlib.suppress(*gone):
        index.rename(directory / f"{kind}-{step}.index")
    files.fsync(directory)


def write(
    prefix: pathlib.Path,
    tensors: Mapping[str, np.ndarray],
    run_state: Mapping[str, Any],
) -> None:
    """Writes tensors by name in TensorFlow's checkpoint format."""
    state = json.dumps(run_state, sort_keys=True)
    try:
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=[*tensors, RUN_STATE],
            shape_and_slices=[""] * (len(tensors) + 1),
            tensors=[*map(tf.constant, tensors.values()), tf.constant(state)],
        )
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message, str(prefix)) from error


def read(prefix: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns every tensor of a checkpoint by name, and the facts of its run.

    Raises:
        DamagedError: If a part is missing or does not match its checksum.
    """
    with _noticing_damage(prefix):
        tensors = read_tensors(prefix)
        return tensors, json.loads(tensors.pop(RUN_STATE))


def read_tensors(prefix: pathlib.Path) -> dict[str, Any]:
    """Returns every tensor of a checkpoint by name, whoever wrote it.

    Raises:
        DamagedError: As `read`.
    """
    with _noticing_damage(prefix):
        reader = tf.train.load_checkpoint(str(prefix))
        return {
            name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
        }


def read_state(prefix: pathlib.Path) -> dict[str, Any]:
    """Returns the facts of a checkpoint's run, and reads no other tensor.

    Raises:
        DamagedError: If they cannot be read.
    """
    with _noticing_damage(prefix):
        reader = tf.train.load_checkpoint(str(prefix))
        state: dict[str, Any] = json.loads(reader.get_tensor(RUN_STATE))
        return state


def weights(
    tensors: Mapping[str, np.ndarray], *, raw: bool = False
) -> tuple[dict[str, np.ndarray], bool]:
    """Returns the weights of a model by their names in it, and whether averaged.

    Args:
        tensors: Of a checkpoint.
        raw: Whether to leave the moving average out that it may have of them.
    """
    averaged = {} if raw else _under(_AVERAGE, tensors)
    return _under(_MODEL, tensors) | averaged, bool(averaged)


def _under(start: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors whose name begins so, without the beginning."""
    return {
        name.removeprefix(start): value
        for name, value in tensors.items()
        if name.startswith(start)
    }


@contextlib.contextmanager
def _noticing_damage(prefix: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (*_DAMAGE, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedError(f"{prefix}: {reason}") from error


def restore(
    tensors: Mapping[str, np.ndarray], variables: Mapping[str, tf.Variable], source: str
) -> None:
    """Assigns tensors to the variables of the same names.

    Args:
        tensors: What was saved.
        variables: What is there now; both must have the same names and shapes.
        source: Where the tensors come from, for the message.

    Raises:
        exits.Refusal: With `MISMATCH` if a name or shape differs; nothing is assigned.
    """
    missing = sorted(variables.keys() - tensors.keys())
    extra = sorted(tensors.keys() - variables.keys())
    reshaped = sorted(
        name
        for name in variables.keys() & tensors.keys()
        if tuple(variables[name].shape) != tensors[name].shape
    )
    if missing or extra or reshaped:
        raise exits.Refusal(
            exits.MISMATCH,
            f"{source}: is of another model; of {len(variables)} variables "
            f"{_told('lacks', missing)}, {_told('has besides', extra)}, "
            f"{_told('has in another shape', reshaped)}; use the flags of its run",
        )
    for name, variable in variables.items():
        variable.assign(tensors[name])


def read_newest(
    directory: pathlib.Path,
) -> tuple[int, dict[str, np.ndarray], dict[str, Any]] | None:
    """Returns step, tensors and run state of the newest checkpoint that can be read.

    One that cannot be read is renamed to `damaged-<name>`, with a warning, and the one
    before it is taken.

    Returns:
        None where there is no checkpoint at all.

    Raises:
        exits.Refusal: If there are checkpoints and none can be read: a run must not
            begin again in silence.
    """
    found = steps(directory)
    for step, data in _without_index(directory):
        if not found or step > found[-1]:  # an older one was being removed
            _set_aside(path_of(directory, step), f"{data}: has no index beside it")
    for step in reversed(found):
        prefix = path_of(directory, step)
        try:
            return step, *read(prefix)
        except DamagedError as error:
            _set_aside(prefix, str(error))
    if found or any(directory.glob("ckpt-*")) or any(directory.glob("damaged-*")):
        raise exits.Refusal(
            exits.MISMATCH,
            f"{directory}: there are checkpoints but none can be read; restore one "
            "from a backup, or name another --workdir to begin anew",
        )
    return None


def _set_aside(prefix: pathlib.Path, reason: str) -> None:
    """Renames what there is of a damaged checkpoint, with a warning."""
    progress.logger.warning("checkpoint set aside, it is damaged: %s", reason)
    for part in sorted(prefix.parent.glob(f"{prefix.name}.*")):
        part.rename(part.with_name(f"damaged-{part.name}"))


def _without_index(directory: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """Returns data of checkpoints that have no index: the step and the file."""
    whole = steps(directory)
    found = []
    for path in sorted(directory.glob(f"{_WHOLE}-*.data-*")):
        match = _DATA.fullmatch(path.name)  # None: somebody's copy
        if match and int(match.group(1)) not in whole:
            found.append((int(match.group(1)), path))
    return found


def prune(
    directory: pathlib.Path, keep: int, is_scheduled: Callable[[int], bool]
) -> None:
    """Removes all but the newest checkpoints of those that were due by their step.

    One saved since, because of a signal or the clock, stays until the next save, so
    that a run that was stopped ends with the checkpoints of one that was not, and their
    mean is the same. Before any was due they are all there is to fall back on, and as
    many stay.

    Args:
        directory: Where they are.
        keep: How many of those that were due stay.
        is_scheduled: Whether a checkpoint of a step was due by the step itself.
    """
    found = steps(directory)
    scheduled = [step for step in found if is_scheduled(step)]
    newest = max(scheduled, default=-1)
    since = [step for step in found if step > newest]
    kept = {*scheduled[-keep:], *since[-1 if scheduled else -keep :]}
    remove(directory, [step for step in found if step not in kept])


def remove(directory: pathlib.Path, numbers: Sequence[int]) -> None:
    """Removes the checkpoints of some steps; the index of each goes first."""
    for step in numbers:
        prefix = path_of(directory, step)
        prefix.with_suffix(".index").unlink()
        fail_points.reach("checkpoint.remove")
        for data in directory.glob(f"{prefix.name}.data-*"):
            data.unlink()


def _remove_leftovers(directory: pathlib.Path) -> None:
    """Removes what a killed save or a killed removal left.

    Data without an index is a leftover where a newer checkpoint is whole. Any other has
    lost its index, and stays, so that a run does not take the directory for an empty
    one.
    """
    newest = max(steps(directory), default=-1)
    for step, part in _without_index(directory):
        if step < newest:
            part.unlink(missing_ok=True)
    for kind in (_PARTIAL, _READY):
        for part in directory.glob(f"{kind}-*"):
            part.unlink(missing_ok=True)


def average(prefixes: Sequence[pathlib.Path]) -> dict[str, np.ndarray]:
    """Returns the mean of several checkpoints' tensors, by name, summed in float64.

    Junczys-Dowmunt et al. 2016, https://arxiv.org/abs/1610.01108, section 4.1.
    """
    sums: dict[str, np.ndarray] = {}
    for prefix in prefixes:
        for name, value in read(prefix)[0].items():
            sums[name] = sums.get(name, 0.0) + value.astype(np.float64)
    return {name: value / len(prefixes) for name, value in sums.items()}


def _verify(prefix: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
    try:
        found, _ = read(prefix)
    except DamagedError as error:
        raise OSError(errno.EIO, "does not read back", str(prefix)) from error
    for name, value in tensors.items():
        if found[name].tobytes() != value.tobytes():
            raise OSError(errno.EIO, f"{name} reads back otherwise", str(prefix))


def _told(what: str, names: list[str]) -> str:
    if not names:
        return f"{what} none"
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{what} {len(names)} ({shown})"
