"""What this project promises of a run, beside what was measured in this one."""

import itertools
from typing import NamedTuple

from pipeline import manifest
from trainers.reporting import batches, collecting, corpus, markup, overview

_MOST_WAITING = 0.05  # share of the time
_LEAST_SECS = 60  # of a run; in a shorter one the start of the pipeline counts most
_SIGNS = {True: "✓", False: "✗", None: "·"}
_CLASSES = {True: "kept", False: "broken", None: "open"}


class Promise(NamedTuple):
    """A promise and what became of it.

    Attributes:
        said: What is promised.
        measured: What was found, in words.
        is_kept: None where it cannot be told, or is no promise but a fact.
    """

    said: str
    measured: str
    is_kept: bool | None


def check(
    run: collecting.Run,
    data: manifest.Manifest | str,
    planned: batches.Batches | None,
) -> list[Promise]:
    """Returns the promises that the files of a run tell something about."""
    since = overview.as_of(run)
    found = [
        one._replace(measured=f"{one.measured}{since}") for one in _of_summary(run)
    ]
    found.append(_logged_once(run))
    if planned is not None:
        found += _of_plan(run, planned)
    if isinstance(data, manifest.Manifest):
        found.append(_accounts(data))
    return found


def table(found: list[Promise]) -> markup.Markup:
    """Returns them as a table."""
    rows = [
        [
            markup.tag("span", _SIGNS[one.is_kept], class_=_CLASSES[one.is_kept]),
            one.said,
            one.measured,
        ]
        for one in found
    ]
    return markup.table(["", "promise", "measured"], rows, numbers_from=None)


def _of_summary(run: collecting.Run) -> list[Promise]:
    summary, found = run.summary, []
    if "train_step_traces" in summary:
        traces = summary["train_step_traces"]
        found.append(
            Promise(
                "The training step is traced once a process.",
                f"{traces} in the last process",
                traces == 1 if traces else None,
            )
        )
    if "num_resumes" in summary:
        found.append(
            Promise(
                "Stopped or killed, the same command goes on.",
                overview.resumes(summary["num_resumes"]),
                None,
            )
        )
    waited = summary.get("input_wait_fraction")
    secs = summary.get("wall_secs") or 0.0
    if waited is not None:
        found.append(
            Promise(
                "The step does not wait for data.",
                f"{100 * waited:.2f} % of the time",
                waited < _MOST_WAITING if secs >= _LEAST_SECS else None,
            )
        )
    if "skipped_nonfinite_steps" in summary:
        skipped = summary["skipped_nonfinite_steps"]
        told = f"{skipped:,} of {summary['step']:,} steps skipped"
        said = "A gradient that is not finite changes no weight."
        found.append(Promise(said, told, None))
    if "dropped_too_long" in summary:
        told = f"{summary['dropped_too_long']:,} left out"
        found.append(Promise("Examples that are too long are counted.", told, None))
    return found


def _logged_once(run: collecting.Run) -> Promise:
    steps = [line["step"] for line in run.training]
    rising = all(before < after for before, after in itertools.pairwise(steps))
    return Promise(
        "The log has each step once, whatever happened to the run.",
        f"{len(steps):,} logged" + ("" if rising else ", some of them twice"),
        rising if steps else None,
    )


def _of_plan(run: collecting.Run, planned: batches.Batches) -> list[Promise]:
    digest = run.summary.get("plan_digest")
    was = "" if digest in (None, planned.plan.digest) else f"; the run had {digest}"
    found = [
        Promise(
            "All batches are known before the first step.",
            f"planned again: {planned.plan.digest}{was}",
            planned.plan.digest == digest if digest else None,
        )
    ]
    if planned.budget is not None:
        found.insert(
            0,
            Promise(
                "A batch never exceeds its budget.",
                f"at most {planned.largest:,} of {planned.budget:,} padded tokens",
                planned.largest <= planned.budget,
            ),
        )
    return found


def _accounts(data: manifest.Manifest) -> Promise:
    splits = [split for split in data.splits.values() if split.pairs_read]
    read = sum(split.pairs_read for split in splits)
    left_out = sum(sum(split.rejects.values()) for split in splits)
    return Promise(
        "Nothing is lost in silence: read = kept + left out.",
        f"{read:,} read, {left_out:,} left out by reason",
        all(map(corpus.is_balanced, splits)),
    )
