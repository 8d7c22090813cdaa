r"""Starts the workers of a run with --strategy=multiworker, and ends as they did.

    python -m trainers.launch --num_workers=2 -- trainers.seq2seq \
        --strategy=multiworker --plan_lanes=2 --flagfile=...

    srun python -m trainers.launch --refusal_offset=100 -- trainers.seq2seq \
        --strategy=multiworker ...

The first starts two workers on this host; the second is one of Slurm's, or of whoever
has set TF_CONFIG. When a worker is lost TensorFlow ends the others, one with an error,
another by SIGABRT. Here that is exit code 75, after which the same command goes on from
the newest checkpoint; what a worker refuses keeps its code.
"""

import contextlib
import dataclasses
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from flags import binding
from pipeline import exits, knobs, progress

_BUGS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
_POLL_SECS = 0.2
_MAX_OFFSET = 255 - exits.MISMATCH  # of what an exit code can be


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """Which workers to start."""

    num_workers: int = knobs.knob(
        0,
        "Workers of this host, joined over its loopback interface; 0 for one whose "
        "others TF_CONFIG or Slurm name.",
    )
    grace_secs: float = knobs.knob(
        60.0,
        "When a worker has ended, how long the others have before they are killed.",
    )
    refusal_offset: int = knobs.knob(
        0,
        "Added to an exit code after which the same command would end the same way: "
        "where the highest code of several tasks is that of the job, as with srun, it "
        "is to outrank 75. jobs/slurm.sh takes it off again.",
    )

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that cannot be."""
        knobs.require_at_least(self, 0, "num_workers")
        knobs.require_at_least(self, 0, "grace_secs")
        knobs.require_in(self, f"[0, {_MAX_OFFSET}]", "refusal_offset")


def main(asked: LaunchConfig, command: Sequence[str]) -> None:
    """Starts the workers and waits for them.

    Args:
        asked: How many.
        command: A module and its flags.

    Raises:
        exits.Refusal: With the code that the run ends with, if it is not 0.
    """
    if not command:
        raise exits.Refusal(
            exits.USAGE, "nothing to start: name a program after --, as in --help"
        )
    # Passed on by the loop that waits: one that comes early reaches later workers too.
    signals: list[int] = []
    for number in _PASSED_ON:
        signal.signal(number, lambda number, _: signals.append(number))
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for variables in environments(asked.num_workers):
            # Into the list at once: where one cannot start, those before it end.
            worker = _started(command, variables)
            workers.append(worker)
        codes = _wait(workers, signals, asked.grace_secs)
    finally:
        for worker in workers:
            worker.kill()
    code = exit_code(codes)
    if code:
        if code != exits.PREEMPTED:
            code += asked.refusal_offset
        told = ", ".join(f"worker {k}: {code}" for k, code in enumerate(codes))
        raise exits.Refusal(code, f"not all workers ended well ({told})")


def _started(
    command: Sequence[str], variables: dict[str, str]
) -> "subprocess.Popen[bytes]":
    """Returns a worker; its exit code is for `_wait`."""
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        env={**os.environ, **variables},
        # A terminal's Ctrl-C reaches a whole group: it must not come twice.
        process_group=0,
    )


def environments(num_workers: int) -> list[dict[str, str]]:
    """Returns what each worker's environment has beside this one's."""
    if not num_workers:
        return [{}]
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            for _ in range(num_workers)
        ]
        for one in sockets:  # all open at once, so that no port comes twice
            one.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    return [
        {
            "TF_CONFIG": json.dumps(
                {
                    "cluster": {"worker": hosts},
                    "task": {"type": "worker", "index": number},
                }
            )
        }
        for number in range(num_workers)
    ]


def exit_code(codes: Sequence[int]) -> int:
    """Returns how a run has ended whose workers ended so; below 0 for a signal.

    What one of them refused counts before what the others made of it.
    """
    refusals = [code for code in codes if code > 0 and code != exits.PREEMPTED]
    bugs = [code for code in codes if -code in _BUGS]
    if refusals:
        return refusals[0]
    if bugs:
        return exits.BUG
    return exits.PREEMPTED if any(codes) else exits.DONE


def _wait(
    workers: Sequence["subprocess.Popen[bytes]"],
    signals: list[int],
    grace_secs: float,
) -> list[int]:
    """Returns the exit codes; passes signals on, which it takes out of their list.

    Kills what goes on long after one has ended.
    """
    ended: float | None = None
    while True:
        while signals:
            number = signals.pop(0)
            for worker in workers:
                worker.send_signal(number)
        codes = [worker.poll() for worker in workers]
        known = [code for code in codes if code is not None]
        if len(known) == len(workers):
            return known
        now = time.monotonic()
        if known and ended is None:
            ended = now
        if ended is not None and now - ended > grace_secs:
            for worker in workers:
                worker.kill()
        time.sleep(_POLL_SECS)


if __name__ == "__main__":
    progress.configure_logging()
    place = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    parsed = binding.parse_or_exit(sys.argv[:place], LaunchConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed, sys.argv[place + 1 :])))
