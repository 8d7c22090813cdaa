"""Where the time of a run goes: steps, waiting for data, everything else."""

import contextlib
import pathlib
import re
import resource
import time
from collections.abc import Iterator

import numpy as np

_STATUS = pathlib.Path("/proc/self/status")  # of Linux alone
_HIGH_WATER = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class Clock:
    """Measures windows of steps; evaluations and saves are taken out."""

    def __init__(self, secs_before: float) -> None:
        """Begins a window; `secs_before` were spent before a resume."""
        self._begin = time.monotonic()
        self._before = secs_before
        self._window = self._begin
        self._excluded = 0.0
        self._step_ms: list[float] = []
        self.train_secs = 0.0  # in steps of this process, waiting included

    def restart_window(self) -> None:
        """Begins the first window now: what was prepared before is not training."""
        self._window, self._excluded = time.monotonic(), 0.0

    def total_secs(self) -> float:
        """Returns seconds of the run, all processes together."""
        return self._before + time.monotonic() - self._begin

    @contextlib.contextmanager
    def excluded(self) -> Iterator[None]:
        """Takes what happens inside out of the window."""
        begin = time.monotonic()
        yield
        self._excluded += time.monotonic() - begin

    def close_window(self, num_steps: int) -> float:
        """Ends a window of steps, begins the next, and returns its seconds."""
        now = time.monotonic()
        secs = max(now - self._window - self._excluded, 1e-9)
        self._window, self._excluded = now, 0.0
        self.train_secs += secs
        if num_steps:
            self._step_ms.append(1000 * secs / num_steps)
        return secs

    def step_ms(self, percent: float) -> float:
        """Returns a percentile of the mean step times of the windows, in ms."""
        return float(np.percentile(self._step_ms, percent)) if self._step_ms else 0.0


def peak_rss_mb() -> float:
    """Returns the most memory this process held, in MiB.

    `ru_maxrss` can be that of the process which started this one: Linux hands it on
    where a child is begun by vfork, as Python's `subprocess` does.
    """
    if _STATUS.is_file():
        found = _HIGH_WATER.search(_STATUS.read_text("ascii", errors="replace"))
        if found:
            return int(found.group(1)) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
