"""Runs a benchmark and keeps its figures, with what they depend on.

    python -m tests.benchmarks.record tests.benchmarks.reading
    python -m tests.benchmarks.record pipeline.inspect --data_dir=D --benchmark_secs=10

A line of JSON is added to runs/bench.jsonl: when, of which commit, the command, the
machine, and the object that the benchmark's last line is. Nothing is added where the
benchmark fails; its exit code is handed on.
"""

import datetime
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from pipeline import runtime

runtime.start()

from trainers import machine  # noqa: E402 - TensorFlow's start-up chatter comes first

LOG = pathlib.Path("runs/bench.jsonl")


def main(command: Sequence[str]) -> int:
    """Runs a module with its arguments; returns its exit code."""
    # The tree may change while a benchmark runs.
    begun, commit = datetime.datetime.now(datetime.UTC), _commit()
    last = ""
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True
    ) as process:
        for last in process.stdout or ():
            print(last, end="", flush=True)
    if process.returncode == 0:
        _add(
            {
                "begun": begun.isoformat(timespec="seconds"),
                "commit": commit,
                "command": list(command),
                "machine": machine.describe(),
                "result": json.loads(last),
            }
        )
    return process.returncode


def _commit() -> str:
    """Returns what git calls the tree, or nothing where there is no git."""
    git = shutil.which("git")
    if git is None:
        return ""
    described = subprocess.run(
        [git, "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip()


def _add(entry: dict[str, Any]) -> None:
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
