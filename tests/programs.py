"""Running our programs as a user does: as processes, from the repository root."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]


def command(module: str, *flags: str) -> list[str]:
    """Returns the command line of an entry point."""
    return [sys.executable, "-m", module, *flags]


def run(
    module: str, *flags: str, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs an entry point to its end."""
    done = subprocess.run(
        command(module, *flags),
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def run_code(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code, as a program with these flags, to its end."""
    return subprocess.run(
        [sys.executable, "-c", code, *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def succeed(module: str, *flags: str, stdin: bytes = b"", **environment: str) -> str:
    """Runs an entry point, expects exit code 0, and returns its stdout."""
    done = run(module, *flags, stdin=stdin, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stop_when(
    module: str,
    *flags: str,
    ready: Callable[[], bool],
    number: int,
    until: Callable[[], bool] = lambda: True,
) -> tuple[int, str]:
    """Starts an entry point, sends it a signal once `ready`, waits for its end.

    The signal comes again every 20 ms until something is so.

    Returns:
        Exit code (minus the signal's number where it was killed by it) and stderr.
    """
    process = subprocess.Popen(
        command(module, *flags),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            wait_until(ready, process)
            process.send_signal(number)
            while not until() and process.poll() is None:
                time.sleep(0.02)
                process.send_signal(number)
            _, errors = process.communicate(timeout=120)
        finally:
            process.kill()  # one that hangs fails its test, and not all that follow
    return process.returncode, errors


def kill_when(module: str, *flags: str, ready: Callable[[], bool]) -> None:
    """Starts an entry point and kills it once `ready`, which it must live to see."""
    code, errors = stop_when(module, *flags, ready=ready, number=signal.SIGKILL)
    assert code == -signal.SIGKILL, errors


def wait_until(ready: Callable[[], bool], process: "subprocess.Popen[Any]") -> None:
    """Waits until something is so, a process has ended, or two minutes are over."""
    deadline = time.monotonic() + 120
    while not ready() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
