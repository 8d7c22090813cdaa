"""Worker processes: results come in the order of the work, whoever did it.

Each worker keeps what a task is done with (`prepare(recipe)`), so that only the items
travel. Workers end with the process that started them, however that one ends.
"""

import collections
import concurrent.futures
import functools
import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import process as futures_process
from types import TracebackType
from typing import Any, TypeVar

from pipeline import exits

Item = TypeVar("Item")
Recipe = TypeVar("Recipe", bound=Hashable)
Result = TypeVar("Result")

_AHEAD = 4  # items on their way, for each worker


class Pool:
    """Processes that do one kind of work after another."""

    def __init__(self, num_workers: int) -> None:
        """Starts the processes; with one worker the work is done in this one."""
        self._num_workers = num_workers
        self._executor: concurrent.futures.ProcessPoolExecutor | None = None
        if num_workers > 1:
            self._executor = concurrent.futures.ProcessPoolExecutor(
                num_workers,
                mp_context=multiprocessing.get_context(_start_method()),
                initializer=_live_as_long_as_parent,
            )
            for _ in range(num_workers):  # they start while this process reads
                self._executor.submit(os.getpid)

    def __enter__(self) -> "Pool":
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the processes."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def map(
        self,
        prepare: Callable[[Recipe], Callable[[Item], Result]],
        recipe: Recipe,
        items: Iterable[Item],
    ) -> Iterator[Result]:
        """Yields `prepare(recipe)(item)` for each item, in order.

        Args:
            prepare: A function of a module; called once in each worker.
            recipe: What it needs; can be pickled and hashed.
            items: The work; a bounded number of them is on its way.

        Raises:
            exits.Refusal: If a worker was killed.
        """
        if self._executor is None:
            yield from map(prepare(recipe), items)
            return
        waiting: collections.deque[concurrent.futures.Future[Any]]
        waiting = collections.deque()
        try:
            for item in items:
                waiting.append(self._executor.submit(_do, prepare, recipe, item))
                if len(waiting) > self._num_workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except futures_process.BrokenProcessPool:
            raise exits.Refusal(
                exits.PREEMPTED,
                "a worker process was killed from outside (out of memory?); nothing "
                "was changed, the same command begins again; see --num_workers",
            ) from None
        finally:
            for future in waiting:
                future.cancel()


def _do(prepare: Callable[[Any], Callable[[Any], Any]], recipe: Any, item: Any) -> Any:
    return _prepared(prepare, recipe)(item)


@functools.lru_cache(1)
def _prepared(
    prepare: Callable[[Any], Callable[[Any], Any]], recipe: Any
) -> Callable[[Any], Any]:
    return prepare(recipe)


def _start_method() -> str:
    """Returns how to start a worker: a fork has nothing to import, but copies locks.

    So it is for a process with one thread that has not loaded TensorFlow.
    """
    alone = threading.active_count() == 1 and "tensorflow" not in sys.modules
    return "fork" if alone else "spawn"


def _live_as_long_as_parent() -> None:
    """Leaves signals to the parent, and ends when it has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.disable()  # chunks hold no cycles, and collecting takes a tenth of the time
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(exits.BUG)

    threading.Thread(target=watch, daemon=True).start()
