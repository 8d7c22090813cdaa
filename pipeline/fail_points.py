"""Places where a test kills a program, to see that nothing is lost there.

    SLUICE_FAIL_AT=checkpoint.index.before:3 python -m trainers.seq2seq ...

ends as kill -9 would, without any cleaning up, when that place is reached for the third
time. Without the variable a place does nothing.
"""

import os

VARIABLE = "SLUICE_FAIL_AT"
KILLED = 137  # as a shell says it: 128 + SIGKILL

_reached: dict[str, int] = {}


def reach(name: str) -> None:
    """Says that the program has come to a place; it may not come further."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    place, _, count = wanted.partition(":")
    if place == name:
        _reached[name] = _reached.get(name, 0) + 1
        if _reached[name] == int(count or 1):
            os._exit(KILLED)
