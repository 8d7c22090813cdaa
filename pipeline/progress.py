"""Progress of long work: a bar with rate and time left, or log lines now and then."""

import logging
import sys
import time
from types import TracebackType
from typing import Any

import tqdm

logger = logging.getLogger("sluice")

_LOG_EVERY_SECS = 10.0


def configure_logging(*, worker: int = 0) -> None:
    """Sends log lines to stderr, with the time of day in front.

    Args:
        worker: Number of this process. All but worker 0 send warnings alone, with their
            number: what they have to tell is the same.
    """
    of = f"worker {worker}: " if worker else ""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"%(asctime)s  {of}%(message)s", "%H:%M:%S"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.WARNING if worker else logging.INFO)
    logger.propagate = False


class Progress:
    """Counts done work: a bar on a terminal, a log line every 10 seconds elsewhere."""

    def __init__(
        self, what: str, *, unit: str, total: int | None = None, done: int = 0
    ) -> None:
        """Begins to count.

        Args:
            what: The work, in a word or two.
            unit: What is counted, in the plural.
            total: How much there is, if it is known.
            done: How much was done before.
        """
        self._bar: tqdm.tqdm[Any] = tqdm.tqdm(
            desc=what,
            unit=f" {unit}",
            total=total,
            initial=done,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )
        self._what, self._unit, self._total = what, unit, total
        self._done = self._first = done
        self._begin = self._logged = time.monotonic()

    def __enter__(self) -> "Progress":
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the bar."""
        self._bar.close()

    def update(self, count: int = 1, note: str = "") -> None:
        """Adds to what is done; `note` is shown beside it."""
        self._done += count
        self._bar.update(count)
        if note:
            self._bar.set_postfix_str(note)
        now = time.monotonic()
        if self._bar.disable and now - self._logged >= _LOG_EVERY_SECS:
            self._logged = now
            logger.info("%s", self._line(now, note))

    def say(self, line: str) -> None:
        """Logs a line without breaking the bar."""
        if self._bar.disable:
            logger.info("%s", line)
        else:
            self._bar.write(line, file=sys.stderr)

    def _line(self, now: float, note: str) -> str:
        rate = (self._done - self._first) / max(now - self._begin, 1e-9)
        of = f" of {self._total:,}" if self._total else ""
        left = ""
        if self._total and rate:
            left = f", {duration((self._total - self._done) / rate)} left"
        tail = f"; {note}" if note else ""
        return (
            f"{self._what}: {self._done:,}{of} {self._unit}, {rate:,.1f}/s{left}{tail}"
        )


def duration(secs: float) -> str:
    """Returns a time for people, such as `3 min 20 s`."""
    minutes, seconds = divmod(round(secs), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
