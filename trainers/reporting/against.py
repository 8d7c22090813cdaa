"""Several runs side by side: which flags differ, what came out."""

from collections.abc import Sequence
from typing import Any

from pipeline import progress
from trainers.reporting import axes, charts, collecting, markup, overview, settings

_NONE = "-"
_LEGEND = "Below, dots are validations; pale lines beside them are training."
# How a score was measured, shown where it was not measured alike.
_MEASURED = {
    "examples": "examples",
    "beam_size": "beam size",
    "checkpoints": "checkpoints",
    "bleu_signature": "BLEU signature",
    "data": "data",
}
_HASH_LETTERS = 8
_FIGURES = (
    ("step", "steps"),
    ("wall_secs", "time"),
    ("num_weights", "weights"),
    ("tgt_tokens_per_sec", "target tokens a second"),
    ("examples_per_sec", "examples a second"),
    ("padding_fraction", "padding"),
    ("input_wait_fraction", "waiting for data"),
    ("step_ms_p50", "step, ms"),
    ("peak_rss_mb", "memory, MiB"),
    ("num_resumes", "resumes"),
    ("skipped_nonfinite_steps", "skipped steps"),
)


def describe(runs: Sequence[collecting.Run]) -> list[markup.Markup]:
    """Returns the names and colours of runs, and the tables."""
    keys = [
        markup.tag(
            "span", markup.tag("i"), run.name, class_=f"key c{k % charts.NUM_COLOURS}"
        )
        for k, run in enumerate(runs)
    ]
    names = [run.name for run in runs]
    differing = settings.differing([run.flags for run in runs])
    flags = [
        [f"--{name}", *(value or "not set" for value in values)]
        for name, values in differing.items()
    ]
    return [
        markup.tag("p", *keys, class_="keys"),
        markup.tag("p", _LEGEND, class_="told"),
        markup.tag("h3", "Figures"),
        markup.table(["", *names], _figures(runs)),
        markup.tag("h3", "Flags that differ"),
        markup.table(["", *names], flags) if flags else markup.tag("p", "None."),
    ]


def _figures(runs: Sequence[collecting.Run]) -> list[list[markup.Child]]:
    rows: list[list[markup.Child]] = []
    best = [run.best for run in runs]
    for name in dict.fromkeys(one["metric"] for one in best if one):
        found = [one if one.get("metric") == name else {} for one in best]
        told = [_told(one.get("value")) for one in found]
        rows.append([f"best {overview.metric(name)}", *told])
        rows.append(["at step", *(_told(one.get("step")) for one in found)])
    splits = dict.fromkeys(split for run in runs for split in run.evaluations)
    for split in splits:
        rows += _evaluated(split, [run.evaluations.get(split, {}) for run in runs])
    if any(run.summed_up is not None for run in runs):
        rows.append(["logged up to step", *(_told(run.last_step) for run in runs)])
    for name, title in _FIGURES:
        values = [run.summary.get(name) for run in runs]
        if any(value is not None for value in values):
            tell = _duration if name == "wall_secs" else _told
            rows.append([title, *map(tell, values)])
    return rows


def _evaluated(split: str, found: list[dict[str, Any]]) -> list[list[markup.Child]]:
    """Returns the scores of a split, and what was not the same in measuring them."""
    rows: list[list[markup.Child]] = []
    for name in overview.EVALUATED:
        told = [_told(one.get(name)) for one in found]
        if any(one != _NONE for one in told):
            rows.append([f"{split} {overview.metric(name)}", *told])
    for name, title in _MEASURED.items():
        values = {str(one.get(name)) for one in found if one}
        if len(values) > 1:
            rows.append([f"{split} {title}", *(_measured(one, name) for one in found)])
    return rows


def _measured(result: dict[str, Any], name: str) -> str:
    value = result.get(name)
    if name == "data" and value is not None:
        place = result.get("data_dir") or result.get("src_file")
        return f"{place} ({str(value)[:_HASH_LETTERS]})"
    return value if isinstance(value, str) else _told(value)


def _told(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return axes.told(value) if isinstance(value, float) else _NONE


def _duration(value: object) -> str:
    return progress.duration(value) if isinstance(value, int | float) else _NONE
