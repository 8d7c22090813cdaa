"""How good a run was after so many minutes: the time to quality.

    python -m tests.benchmarks.quality --workdir=W --minutes 10 20 45 90

What stands for a time is the last validation that had ended by then; a run that is over
sooner stands for all later times. The clock is the run's own: all its processes
together, validations and saves included. The last line of stdout is one JSON object.
"""

import argparse
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from trainers import run_directory

_OF_VALIDATION = "valid_"


def main() -> None:
    """Reads, prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    parser.add_argument("--minutes", nargs="+", type=float, default=[10, 20, 45, 90])
    parser.add_argument("--score", default="bleu", help="of those in metrics.jsonl")
    asked = parser.parse_args()
    scores = validations(
        _lines(asked.workdir / run_directory.METRICS), _OF_VALIDATION + asked.score
    )
    timing = _lines(asked.workdir / run_directory.TIMING)
    ended = end_secs(timing, scores)
    over = is_over(asked.workdir / run_directory.SUMMARY)
    found = {}
    for minutes in asked.minutes:
        if 60 * minutes > timing[-1]["wall_secs"] and not over:
            print(f"{minutes:6g} min: the run has not come there yet")
            continue
        step = last_before(60 * minutes, ended)
        if step is None:
            print(f"{minutes:6g} min: no validation yet")
            continue
        found[f"{minutes:g}"] = {"step": step, asked.score: scores[step]}
        print(
            f"{minutes:6g} min: {asked.score} {scores[step]:.2f}, step {step:,}, "
            f"{ended[step] / 60:.1f} min"
        )
    print(json.dumps(found))


def is_over(summary: pathlib.Path) -> bool:
    """Returns whether a run came to its end, and is not only stopped."""
    if not summary.is_file():
        return False
    return json.loads(summary.read_text("utf-8"))["finished"] != "preempted"


def validations(metrics: list[dict[str, Any]], name: str) -> dict[int, float]:
    """Returns a score of each validation, by step."""
    return {line["step"]: line[name] for line in metrics if name in line}


def end_secs(timing: list[dict[str, Any]], steps: Iterable[int]) -> dict[int, float]:
    """Returns when the validation after a step had surely ended, in seconds, by step.

    That is when the next line was written; after the last line there is none, and its
    own time has to do.
    """
    last = timing[-1]["wall_secs"]
    return {
        step: next((line["wall_secs"] for line in timing if line["step"] > step), last)
        for step in steps
    }


def last_before(limit_secs: float, ended: dict[int, float]) -> int | None:
    """Returns the last step whose time is not beyond the limit, if there is one."""
    within = [step for step, secs in ended.items() if secs <= limit_secs]
    return max(within, default=None)


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


if __name__ == "__main__":
    main()
