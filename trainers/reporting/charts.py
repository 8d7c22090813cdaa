"""Charts as inline SVG, in the colours of the page they stand on.

A chart is 360 units wide, about as many pixels as on a phone, so that its letters have
the size of the text beside it there.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from trainers.reporting import axes, markup

_WIDTH, _HEIGHT = 360, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 8, 32
_MAX_BINS = 120  # of a line; each keeps its least and its greatest value
_SHOWN = 0.99  # share of the values that the axis of a histogram holds
NUM_COLOURS = 8

Point = tuple[float, float]


class Series(NamedTuple):
    """A line of a chart.

    Attributes:
        name: For the legend.
        points: x and y, by x; those whose y is not finite are left out.
        colour: Number of a colour of the page.
        is_faint: Thin and pale, for what stands behind another line.
        is_marked: With a dot at each point.
        is_joined: Whether there is a line at all.
    """

    name: str
    points: Sequence[Point]
    colour: int = 0
    is_faint: bool = False
    is_marked: bool = False
    is_joined: bool = True


def lines(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str = "step",
    y_label: str = "",
    from_zero: bool = False,
    log_y: bool = False,
    log_x: bool = False,
    legend: bool = True,
) -> markup.Markup | None:
    """Returns a chart of lines; None where there is nothing to draw.

    Args:
        title: Stands above.
        series: What is drawn, the first one behind.
        x_label: What lies across.
        y_label: What goes up, with its unit.
        from_zero: Whether the lower end is 0.
        log_y: Whether equal factors are equally high, where all values are positive.
        log_x: The same across.
        legend: Whether the lines are named.
    """
    drawn = [one._replace(points=_finite(one.points)) for one in series]
    drawn = [one for one in drawn if one.points]
    if not drawn:
        return None
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points]
    x_axis = axes.logarithmic(*_ends(xs)) if log_x else axes.tight(*_from(xs), count=6)
    if log_y and min(ys) > 0:
        y_axis = axes.logarithmic(min(ys), max(ys))
    else:
        y_axis = axes.linear(min([*ys, *([0.0] if from_zero else [])]), max(ys))
    parts = [_frame(x_axis, y_axis, x_label)]
    parts += [_line(one, x_axis, y_axis) for one in drawn]
    return figure(title, y_label, drawn if legend and len(drawn) > 1 else [], parts)


def histogram(
    title: str, values: Sequence[float], *, x_label: str, num_bins: int = 30
) -> markup.Markup | None:
    """Returns how often values lie where, as bars; None without values.

    The axis ends at the 99th percentile; what lies beyond is in the last bar.
    """
    found = sorted(value for value in values if math.isfinite(value))
    if not found:
        return None
    high = found[math.floor(_SHOWN * (len(found) - 1))]
    axis = axes.linear(found[0], high)
    width = (axis.high - axis.low) / num_bins
    counts = [0] * num_bins
    for value in found:
        counts[min(int((value - axis.low) / width), num_bins - 1)] += 1
    return bars(
        title,
        [(axis.low + k * width, axis.low + (k + 1) * width) for k in range(num_bins)],
        counts,
        axis,
        x_label=x_label,
    )


def bars(
    title: str,
    spans: Sequence[tuple[float, float]],
    counts: Sequence[int],
    axis: axes.Axis,
    *,
    x_label: str,
) -> markup.Markup:
    """Returns a chart of bars, each over its span of the axis."""
    y_axis = axes.linear(0, max([1, *counts]))
    parts = [_frame(axis, y_axis, x_label)]
    for (begin, end), count in zip(spans, counts, strict=True):
        if not count:
            continue
        left, right = _x(axis, begin), _x(axis, end)
        top = _y(y_axis, count)
        parts.append(
            markup.tag(
                "rect",
                markup.tag("title", f"{told_span(begin, end)}: {count:,}"),
                x=f"{left + 0.5:.1f}",
                y=f"{top:.1f}",
                width=f"{max(right - left - 1, 0.5):.1f}",
                height=f"{_HEIGHT - _BOTTOM - top:.1f}",
                fill="currentColor",
                class_="c0",
            )
        )
    return figure(title, "", [], parts)


def figure(
    title: str, unit: str, named: Sequence[Series], parts: Sequence[markup.Markup]
) -> markup.Markup:
    """Returns the parts of a chart under its title and the names of its lines."""
    keys = [
        markup.tag(
            "span",
            markup.tag("i", class_="faint" if one.is_faint else None),
            one.name,
            class_=f"key c{one.colour % NUM_COLOURS}",
        )
        for one in named
    ]
    head = markup.tag(
        "figcaption",
        markup.tag("b", title),
        markup.tag("small", f" {unit}") if unit else None,
        markup.tag("span", keys, class_="keys") if keys else None,
    )
    picture = markup.tag(
        "svg",
        *parts,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=title,
        class_="chart",
    )
    return markup.tag("figure", head, picture)


def told_span(begin: float, end: float) -> str:
    """Returns the ends of a bar."""
    return f"{axes.told(begin)} to {axes.told(end)}"


def _from(values: Sequence[float]) -> tuple[float, float]:
    """Returns least and greatest value, or 0 and the greatest where that is near."""
    low, high = _ends(values)
    return (0.0 if 0 < low < 0.25 * high else low), high


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _finite(points: Sequence[Point]) -> list[Point]:
    return [
        (x, y)
        for x, y in points
        if y is not None and math.isfinite(y) and math.isfinite(x)
    ]


def _x(axis: axes.Axis, value: float) -> float:
    return _LEFT + axis.place(value) * (_WIDTH - _LEFT - _RIGHT)


def _y(axis: axes.Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - axis.place(value) * (_HEIGHT - _TOP - _BOTTOM)


def _frame(x_axis: axes.Axis, y_axis: axes.Axis, x_label: str) -> markup.Markup:
    """Returns the lines and values behind a chart."""
    parts = []
    for tick, label in zip(y_axis.ticks, axes.labels(y_axis), strict=True):
        y = f"{_y(y_axis, tick):.1f}"
        ends = {"x1": _LEFT, "x2": _WIDTH - _RIGHT, "y1": y, "y2": y}
        parts.append(markup.tag("line", **ends, class_="rule"))
        text = {"x": _LEFT - 5, "y": y, "text_anchor": "end"}
        parts.append(markup.tag("text", label, **text, dy="0.32em"))
    for tick, label in zip(x_axis.ticks, axes.labels(x_axis), strict=True):
        x = _x(x_axis, tick)
        anchor = "end" if x > _WIDTH - _RIGHT - 12 else "middle"
        text = {"x": f"{x:.1f}", "y": _HEIGHT - _BOTTOM + 13, "text_anchor": anchor}
        parts.append(markup.tag("text", label, **text))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    text = {"x": f"{middle:.0f}", "y": _HEIGHT - 4, "text_anchor": "middle"}
    parts.append(markup.tag("text", x_label, **text, class_="label"))
    return markup.joined(parts)


def _line(one: Series, x_axis: axes.Axis, y_axis: axes.Axis) -> markup.Markup:
    """Returns a line, and its dots if it has any."""
    places = [
        (f"{_x(x_axis, x):.1f}", f"{_y(y_axis, y):.1f}")
        for x, y in thinned(one.points, _MAX_BINS)
    ]
    parts = []
    if one.is_joined:
        path = "M" + "L".join(f"{x} {y}" for x, y in places)
        parts.append(
            markup.tag("path", d=path, class_="faint line" if one.is_faint else "line")
        )
    if one.is_marked or len(places) == 1:
        for (x, y), (at, value) in zip(
            places, thinned(one.points, _MAX_BINS), strict=True
        ):
            said = f"{one.name}: {axes.told(value)} at {axes.told(at)}"
            title = markup.tag("title", said)
            dot = {"cx": x, "cy": y, "r": 2.2, "fill": "currentColor"}
            parts.append(markup.tag("circle", title, **dot))
    return markup.tag("g", parts, class_=f"c{one.colour % NUM_COLOURS}")


def thinned(points: Sequence[Point], num_bins: int) -> list[Point]:
    """Returns so many points that a line looks the same, its peaks kept.

    >>> thinned([(0, 5), (1, 9), (2, 1), (3, 5), (4, 5), (5, 7)], 1)
    [(1, 9), (2, 1)]
    """
    if len(points) <= 2 * num_bins:
        return list(points)
    kept: list[Point] = []
    for k in range(num_bins):
        part = points[len(points) * k // num_bins : len(points) * (k + 1) // num_bins]
        ends = {min(part, key=lambda one: one[1]), max(part, key=lambda one: one[1])}
        kept += sorted(ends)
    return kept
