"""The batches of a run: which lengths share a bucket, and how full buckets are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline import epoch, pictures
from pipeline import plan as plan_lib
from trainers.reporting import axes, markup

_MAX_POOLS = 4  # of the first epoch; one is 262,144 examples where nobody chose
_SIDE = 340  # of the picture, in pixels at most
_NUM_SHADES = 6


class Batches(NamedTuple):
    """A plan in numbers.

    Attributes:
        plan: The plan.
        numbers: Its first epoch.
        num_pools: Pools of that epoch that were counted.
        histogram: Source length, target length with BOS or EOS, number of examples:
            [M, 3].
        budget: Padded tokens of a batch on its larger side at most; None for no limit.
    """

    plan: plan_lib.Plan
    numbers: epoch.Epoch
    num_pools: int
    histogram: np.ndarray
    budget: int | None

    @property
    def largest(self) -> int:
        """Padded tokens of the largest batch there can be, on its larger side."""
        buckets = self.plan.buckets
        return int((buckets.rows * np.maximum(buckets.src, buckets.tgt)).max())


def of(plan: plan_lib.Plan, histogram: np.ndarray, budget: int | None) -> Batches:
    """Returns a plan in numbers.

    Args:
        plan: Of the training split.
        histogram: Of its lengths, as in a manifest: [M, 3].
        budget: The most tokens of a batch.
    """
    num_pools = min(len(plan.pools(0)), _MAX_POOLS)
    lengths = histogram + np.array([1, 1, 0])
    return Batches(plan, epoch.of(plan, num_pools), num_pools, lengths, budget)


def describe(found: Batches) -> list[markup.Markup]:
    """Returns the picture and the table of buckets."""
    plan, numbers = found.plan, found.numbers
    pools = len(plan.pools(0))
    part = (
        "an epoch"
        if found.num_pools == pools
        else f"{found.num_pools} of {pools} pools"
    )
    told = (
        f"{numbers.rows.size:,} batches in {part}, {numbers.num_shapes} shapes, "
        f"fill {numbers.fill:.3f}; the largest has {found.largest:,} padded tokens a "
        "side."
    )
    parts = [_table(found)]
    if (found.histogram[:, 1] > 1).any():  # labels have no length
        parts.insert(0, _picture(found))
        told += (
            " A square is a pair of lengths, darker for more examples; lines are the "
            "borders of buckets."
        )
    return [
        markup.tag("p", told, class_="told"),
        markup.tag("div", parts, class_="sides"),
    ]


def _table(found: Batches) -> markup.Markup:
    buckets, numbers = found.plan.buckets, found.numbers
    rows: list[list[markup.Child]] = []
    for k in range(len(buckets)):
        chosen = numbers.buckets == k
        if not chosen.any():
            continue
        src, tgt = int(buckets.src[k]), int(buckets.tgt[k])
        padded = int(numbers.rows[chosen].sum()) * (src + tgt)
        fill = float(numbers.real_tokens[chosen].sum() / padded)
        rows.append(
            [
                src,
                tgt,
                int(buckets.rows[k]),
                int(chosen.sum()),
                f"{int(numbers.real_rows[chosen].sum()):,}",
                markup.bar(fill),
            ]
        )
    head = ["source", "target", "rows", "batches", "examples", "fill"]
    return markup.table(head, rows, numbers_from=0)


def _picture(found: Batches) -> markup.Markup:
    """Returns examples by source and target length, and the borders of buckets."""
    src_most, tgt_most = (pictures.most(found.histogram, side) for side in (0, 1))
    histogram = found.histogram
    shown = histogram[
        (histogram[:, 0] <= src_most) & (histogram[:, 1] <= tgt_most)
    ].astype(int)
    scale = _SIDE / max(src_most, tgt_most)
    left, bottom = 34, 30
    width, height = left + scale * src_most + 12, scale * tgt_most + bottom + 6
    # y grows downwards on a page, and upwards in the picture.
    place = f"translate({left} {height - bottom:.1f}) scale({scale:.4f} {-scale:.4f})"
    cells = markup.tag("g", _shades(shown), transform=place, class_="c0")
    border = "".join(
        f"M{max(x_begin, 0.5):g} {max(y_begin, 0.5):g}"
        f"L{max(x_end, 0.5):g} {max(y_end, 0.5):g}"
        for (x_begin, x_end), (y_begin, y_end) in pictures.borders(
            found.plan.buckets, src_most, tgt_most
        )
    )
    line = {"class_": "line c1", "vector_effect": "non-scaling-stroke"}
    borders = markup.tag(
        "path", d=border or "M0 0", transform=f"{place} translate(-.5 -.5)", **line
    )
    picture = markup.tag(
        "svg",
        cells,
        borders,
        _ticks(src_most, tgt_most, scale, left, height - bottom),
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        class_="chart",
        role="img",
        aria_label="lengths and buckets",
    )
    caption = markup.tag("figcaption", markup.tag("b", "Lengths and buckets"))
    return markup.tag("figure", caption, picture, class_="square")


def _shades(lengths: np.ndarray) -> list[markup.Markup]:
    """Returns a path of unit squares for each shade, for [M, 3], the rarest first."""
    most = np.log1p(lengths[:, 2].max())
    shade = np.ceil(_NUM_SHADES * np.log1p(lengths[:, 2]) / most).astype(int)
    return [
        markup.tag(
            "path",
            d="".join(f"M{x - 1} {y - 1}h1v1h-1z" for x, y, _ in lengths[shade == k]),
            fill="currentColor",
            opacity=f"{k / _NUM_SHADES:.2f}",
        )
        for k in range(1, _NUM_SHADES + 1)
        if (shade == k).any()
    ]


def _ticks(
    src_most: int, tgt_most: int, scale: float, left: float, base: float
) -> markup.Markup:
    parts = []
    for tick in _round(src_most):
        at = {"x": f"{left + scale * tick:.0f}", "y": f"{base + 13:.0f}"}
        parts.append(markup.tag("text", int(tick), **at, text_anchor="middle"))
    for tick in _round(tgt_most):
        at = {"x": f"{left - 5:.0f}", "y": f"{base - scale * tick:.0f}"}
        parts.append(
            markup.tag("text", int(tick), **at, text_anchor="end", dy="0.32em")
        )
    middle = f"{left + scale * src_most / 2:.0f}"
    names = {"y": f"{base + 26:.0f}", "text_anchor": "middle", "class_": "label"}
    parts.append(markup.tag("text", "source tokens", x=middle, **names))
    upright = f"translate(9 {base - scale * tgt_most / 2:.0f}) rotate(-90)"
    kind = {"text_anchor": "middle", "class_": "label"}
    parts.append(markup.tag("text", "target tokens", transform=upright, **kind))
    return markup.joined(parts)


def _round(most: int) -> Sequence[float]:
    return [tick for tick in axes.tight(0, most).ticks if tick.is_integer()]
