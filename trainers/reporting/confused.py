"""Into which classes a classifier put the texts of each class."""

from typing import Any

import numpy as np

from trainers.reporting import collecting, grids, markup

_MOST_DRAWN = 40  # classes
_MOST_NUMBERED = 20
_MOST_LISTED = 12  # pairs of classes


def describe(run: collecting.Run) -> list[markup.Markup]:
    """Returns the confusions of each split that trainers.evaluate was asked for."""
    if not run.confusions:
        why = (
            f"None yet: python -m trainers.evaluate --workdir={run.workdir} finds "
            f"them; python -m trainers.report --workdir={run.workdir} draws them here."
        )
        return [markup.tag("p", why, class_="told")]
    parts = []
    for split, content in run.confusions.items():
        parts += [markup.tag("h3", split), *_of_split(content)]
    return parts


def _of_split(content: dict[str, Any]) -> list[markup.Markup]:
    names, counts = content["labels"], np.array(content["confusions"], int)
    told = "A row is a class, a column what was said; colour is the share of the row."
    parts: list[markup.Markup] = []
    sides: list[markup.Markup] = []
    if len(names) <= _MOST_DRAWN:
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        is_small = len(names) <= _MOST_NUMBERED
        numbers = counts if is_small else None
        cell = 30 if is_small else 16
        parts.append(markup.tag("p", told, class_="told"))
        sides.append(grids.draw(names, names, shares, numbers=numbers, cell=cell))
    wrong = [
        (int(counts[a, b]), names[a], names[b])
        for a, b in np.ndindex(counts.shape)
        if a != b and counts[a, b]
    ]
    rows = [[label, said, count] for count, label, said in sorted(wrong, reverse=True)][
        :_MOST_LISTED
    ]
    if rows:
        sides.append(markup.table(["label", "said", "texts"], rows, numbers_from=2))
    return [*parts, markup.tag("div", sides, class_="sides")]
