"""A trial as a process: its cores, its memory, its end with ours."""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

LOG = "trial.log"
_ROOT = pathlib.Path(__file__).parents[2]
_PR_SET_PDEATHSIG = 1  # prctl(2)
_OURS = "sluice: "  # how our programs begin the line that says what is wrong


class Process:
    """A trainer in a working directory of its own."""

    def __init__(
        self, trainer: str, flags: Sequence[str], workdir: pathlib.Path, cores: set[int]
    ) -> None:
        """Starts it.

        Args:
            trainer: `seq2seq` or `seq2vec`.
            flags: All but the working directory.
            workdir: Made if it is not there; what the trainer says goes into a file.
            cores: Of this machine; TensorFlow takes as many threads.
        """
        workdir.mkdir(parents=True, exist_ok=True)
        self._log = workdir / LOG
        command = [sys.executable, "-m", f"trainers.{trainer}", *flags]
        paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, f"--workdir={workdir}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                preexec_fn=_dying_with(os.getpid()),  # noqa: PLW1509 - we have no threads
            )
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._process.pid, cores)

    def exit_code(self) -> int | None:
        """Returns how it ended, None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Asks it to save and end."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()

    def wait(self) -> int:
        """Returns how it ended, once it has."""
        return self._process.wait()

    def rss_mb(self) -> float:
        """Returns the memory it holds now, in MiB; 0 where Linux does not say."""
        try:
            status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text(
                encoding="utf-8"
            )
        except OSError:
            return 0.0
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return float(fields.get("VmRSS", "0 kB").split()[0]) / 1024

    def last_words(self) -> str:
        """Returns what it said last: the line about what is wrong, if there is one."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if line.startswith(_OURS)]
        last = (said or [line for line in lines if line.strip()] or ["said nothing"])[
            -1
        ]
        return last.removeprefix(_OURS)


def _dying_with(parent: int) -> Callable[[], None]:
    """Returns what makes a new process end by SIGTERM when we do, even killed.

    Otherwise the trials of a killed study would go on beside those of the next one.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def run() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was too late
            os._exit(1)

    return run


def cores_of(slot: int, count: int) -> set[int]:
    """Returns the cores of a slot, so that slots share none while there are enough.

    Args:
        slot: From 0.
        count: Cores a slot.
    """
    ours = _ours()
    return {ours[(slot * count + k) % len(ours)] for k in range(min(count, len(ours)))}


def num_cores() -> int:
    """Returns on how many cores we may run."""
    return len(_ours())


def _ours() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
