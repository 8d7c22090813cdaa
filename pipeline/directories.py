"""Directories that appear whole or not at all, and are replaced in one move.

What is made lies beside its target as `target.tmp-<process>` until it has its name. A
kill leaves that, or `target.replaced-<process>` between the two renames of a swap;
`recover` puts both right. Programs on several machines leave notes for each other in
`target.tmp-<process>-<a word>`, which goes with the program or with `recover`.
"""

import contextlib
import os
import pathlib
import re
import secrets
import shutil
import signal
from collections.abc import Iterator
from typing import Any, NoReturn

from pipeline import exits, files, locations, progress


def beside(target: pathlib.Path, suffix: str) -> pathlib.Path:
    """Returns the path in the same directory with a longer name."""
    return target.with_name(target.name + suffix)


def lock_of(target: pathlib.Path) -> pathlib.Path:
    """Returns the lock file of a directory, which outlives it."""
    return beside(target, files.LOCK_NAME)


def scratch(target: locations.Location) -> locations.Location:
    """Returns where the programs that make a directory can leave notes."""
    suffix = f".tmp-{os.getpid()}-{secrets.token_hex(4)}"
    return target.parent / (target.name + suffix)


def recover(target: pathlib.Path) -> None:
    """Puts right what killed programs left; call it with the lock held."""
    for replaced in _left_over(target, "replaced"):
        if target.exists():
            _discard(replaced, target)
        else:  # killed between the two renames of a swap
            replaced.rename(target)
    for stale in _left_over(target, "tmp"):
        _remove(stale)


@contextlib.contextmanager
def appearing(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields an empty directory that takes the target's place when the block ends.

    If the block raises, the target stays as it was.
    """
    partial = beside(target, f".tmp-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        yield partial
        _commit(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turns SIGTERM and SIGINT into a refusal while the block runs.

    It may come out of a library as another exception: SentencePiece, which calls us
    back for text, makes an error of its own of it.
    """
    refusals: list[exits.Refusal] = []

    def stop(number: int, _: object) -> NoReturn:
        refusals.append(
            exits.Refusal(
                exits.PREEMPTED,
                f"stopped by {signal.Signals(number).name}; nothing was changed, the "
                "same command begins again",
            )
        )
        raise refusals[-1]

    with _handled_by(stop):
        try:
            yield
        except Exception:
            if refusals:
                raise refusals[0] from None
            raise


@contextlib.contextmanager
def _handled_by(handler: Any) -> Iterator[None]:
    """Gives SIGTERM and SIGINT a handler while the block runs."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler_before in zip(numbers, before, strict=True):
            signal.signal(number, handler_before)


def _left_over(target: pathlib.Path, kind: str) -> list[pathlib.Path]:
    """Returns what programs left beside this target: a process number ends the name."""
    pattern = re.compile(re.escape(f"{target.name}.{kind}-") + r"\d+(-\w+)?")
    return [path for path in target.parent.iterdir() if pattern.fullmatch(path.name)]


def _commit(partial: pathlib.Path, target: pathlib.Path) -> None:
    """Gives a finished directory its name, once all of it is on the disk."""
    for path in (*partial.rglob("*"), partial):
        files.fsync(path)
    # Between the renames a signal would leave neither directory in its place.
    with _handled_by(signal.SIG_IGN):
        _swap(partial, target)


def _swap(partial: pathlib.Path, target: pathlib.Path) -> None:
    replaced = beside(target, f".replaced-{os.getpid()}")
    if target.exists():
        target.rename(replaced)
    try:
        partial.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise
    files.fsync(target.parent)
    if replaced.exists():
        _discard(replaced, target)


def _discard(replaced: pathlib.Path, target: pathlib.Path) -> None:
    """Removes what has been replaced, which `recover` must never put back."""
    stale = beside(target, f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    replaced.rename(stale)
    _remove(stale)


def _remove(stale: pathlib.Path) -> None:
    """Removes a directory, as far as can be.

    A network file system keeps files that a program on another machine still reads.
    """
    shutil.rmtree(stale, ignore_errors=True)
    if stale.exists():
        progress.logger.warning(
            "%s: is of no use any more and cannot be removed yet, as when a program "
            "reads it; the next build tries again",
            stale,
        )
