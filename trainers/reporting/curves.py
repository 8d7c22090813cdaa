"""How the figures of runs went, by step."""

from collections.abc import Callable
from typing import Any

from trainers.reporting import charts, collecting, markup, overview

Lines = Callable[[collecting.Run], list[dict[str, Any]]]

# Names in the lines about training, where they are not the same.
_TRAINED = {"loss": "nll"}
_UNITS = {"loss": "nats, without label smoothing"}


def draw(runs: list[collecting.Run]) -> list[markup.Markup]:
    """Returns the charts, those of several runs over each other."""
    names = _validated(runs) or ["loss"]
    found = [_learned(runs, name) for name in names]
    found += [
        _of(runs, _training, "learning_rate", "Learning rate", from_zero=True),
        _of(runs, _training, "gradient_norm", "Gradient norm", log_y=True),
    ]
    rates = {name: None for run in runs for line in run.timing for name in line}
    for name in ("tgt_tokens_per_sec", "examples_per_sec"):
        if name in rates:
            what = "Target tokens" if name.startswith("tgt") else "Examples"
            found.append(_of(runs, _timing, name, f"{what} a second", from_zero=True))
    found += [
        _of(
            runs,
            _timing,
            "input_wait_fraction",
            "Waiting for data",
            unit="share of the time",
            from_zero=True,
        ),
        _of(runs, _timing, "peak_rss_mb", "Memory", unit="MiB at most", from_zero=True),
    ]
    return [chart for chart in found if chart is not None]


def _validated(runs: list[collecting.Run]) -> list[str]:
    """Returns what validations measured, in the order of the logs, each once."""
    names = {name: None for run in runs for line in run.validations for name in line}
    return [name.removeprefix("valid_") for name in names if name.startswith("valid_")]


def _title(name: str) -> str:
    told = overview.metric(name)
    return told if name == "chrf" else told[0].upper() + told[1:]


def _learned(runs: list[collecting.Run], name: str) -> markup.Markup | None:
    """Returns a figure of training, pale, and of validation, with dots."""
    series = []
    trained = _TRAINED.get(name, name)
    for number, run in enumerate(runs):
        prefix = f"{run.name}, " if len(runs) > 1 else ""
        colour = number if len(runs) > 1 else 1
        pale = collecting.points(run.training, trained)
        series.append(charts.Series(f"{prefix}training", pale, colour, is_faint=True))
    for number, run in enumerate(runs):
        prefix = f"{run.name}, " if len(runs) > 1 else ""
        dotted = collecting.points(run.validations, f"valid_{name}")
        series.append(charts.Series(f"{prefix}valid", dotted, number, is_marked=True))
    return charts.lines(
        _title(name),
        series,
        y_label=_UNITS.get(name, ""),
        legend=len(runs) == 1,
    )


def _of(
    runs: list[collecting.Run],
    lines: Lines,
    name: str,
    title: str,
    *,
    unit: str = "",
    from_zero: bool = False,
    log_y: bool = False,
) -> markup.Markup | None:
    series = [
        charts.Series(run.name, collecting.points(lines(run), name), number)
        for number, run in enumerate(runs)
    ]
    return charts.lines(
        title, series, y_label=unit, from_zero=from_zero, log_y=log_y, legend=False
    )


def _training(run: collecting.Run) -> list[dict[str, Any]]:
    return run.training


def _timing(run: collecting.Run) -> list[dict[str, Any]]:
    return run.timing
