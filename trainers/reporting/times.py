"""How long the steps of a run took."""

import itertools

import numpy as np

from trainers.reporting import charts, collecting, markup

_PERCENTS = (5, 50, 95)


def draw(run: collecting.Run) -> list[markup.Markup]:
    """Returns the distribution of step times, and percentiles in words."""
    every = int(run.flags.get("log_every_steps", 1))
    values, note = _step_ms(run)
    chart = charts.histogram("Step time", values, x_label="ms a step")
    if chart is None:
        return [markup.tag("p", "Nothing was logged.", class_="told")]
    found = np.percentile(values, _PERCENTS)
    told = ", ".join(
        f"{percent} %: {value:.0f} ms"
        for percent, value in zip(_PERCENTS, found, strict=True)
    )
    sentence = f"Means of {every:,} steps each{note}. Percentiles: {told}."
    return [
        markup.tag("p", sentence, class_="told"),
        markup.tag("div", chart, class_="charts"),
    ]


def _step_ms(run: collecting.Run) -> tuple[list[float], str]:
    """Returns the mean step time of each window in ms, and what to know about it."""
    values = [line["step_ms"] for line in run.timing if "step_ms" in line]
    if values:
        return values, ", validation and saving left out"
    return [
        1000
        * (after["wall_secs"] - before["wall_secs"])
        / (after["step"] - before["step"])
        for before, after in itertools.pairwise(run.timing)
        if after["step"] > before["step"]
    ], ", validation and saving included"
