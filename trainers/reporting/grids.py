"""Tables of numbers as coloured cells, in SVG: confusions, attention."""

from collections.abc import Sequence

import numpy as np

from trainers.reporting import markup

_LETTER, _WIDE_LETTER = 6.6, 11.0  # widths of letters, in pixels, at 11 px
_MOST_LETTERS = 24
_LEAST_SHARE = 0.005  # below which a cell is left out
_DARK = 0.55  # above which letters on a cell are light
_FIRST_WIDE = 0x1100  # the scripts whose letters are square come after


def draw(
    rows: Sequence[str],
    columns: Sequence[str],
    shares: np.ndarray,
    *,
    numbers: np.ndarray | None = None,
    cell: int = 18,
) -> markup.Markup:
    """Returns cells that are the more coloured the greater their share is.

    It has the size it needs, in a box that scrolls.

    Args:
        rows: Names at the left, R.
        columns: Names at the top, C.
        shares: From 0 to 1, float [R, C].
        numbers: What is written into the cells, int [R, C]; zeros are not.
        cell: Side of a cell, in pixels.
    """
    corner = tuple(max(map(_width, names), default=0) + 8 for names in (rows, columns))
    left, top = corner
    parts = _names(rows, columns, corner, cell)
    for row, column in np.ndindex(shares.shape):
        share = float(np.clip(shares[row, column], 0, 1))
        number = int(numbers[row, column]) if numbers is not None else 0
        if share < _LEAST_SHARE and not number:
            continue
        said = f"{rows[row]} / {columns[column]}: {number or f'{share:.3f}'}"
        place = left + cell * column, top + cell * row
        parts.append(_cell(place, cell, share, said))
        if number:
            parts.append(_number(place, cell, share, number))
    num_rows, num_columns = shares.shape
    frame = {"x": f"{left:.0f}", "y": f"{top:.0f}", "class_": "frame"}
    sides = {"width": cell * num_columns, "height": cell * num_rows}
    parts.append(markup.tag("rect", **frame, **sides))
    size = {
        "width": f"{left + cell * num_columns + 2:.0f}",
        "height": f"{top + cell * num_rows + 2:.0f}",
    }
    picture = markup.tag("svg", parts, **size, class_="grid c0", role="img")
    return markup.tag("div", picture, class_="scroll")


def _names(
    rows: Sequence[str], columns: Sequence[str], corner: tuple[float, ...], cell: int
) -> list[markup.Markup]:
    """Returns the names at the left and, upright, at the top."""
    left, top = corner
    parts = []
    for column, name in enumerate(columns):
        x, y = left + cell * (column + 0.65), top - 4
        at = {"transform": f"translate({x:.0f} {y:.0f}) rotate(-90)"}
        parts.append(markup.tag("text", _short(name), **at))
    for row, name in enumerate(rows):
        place = {"x": f"{left - 4:.0f}", "y": f"{top + cell * (row + 0.65):.0f}"}
        parts.append(markup.tag("text", _short(name), **place, text_anchor="end"))
    return parts


def _cell(
    place: tuple[float, float], side: int, share: float, said: str
) -> markup.Markup:
    x, y = place
    sides = {"width": side, "height": side, "fill_opacity": f"{share:.3f}"}
    title = markup.tag("title", said)
    return markup.tag("rect", title, x=f"{x:.0f}", y=f"{y:.0f}", **sides)


def _number(
    place: tuple[float, float], side: int, share: float, number: int
) -> markup.Markup:
    middle = {"x": f"{place[0] + side / 2:.0f}", "y": f"{place[1] + 0.65 * side:.0f}"}
    kind = {"text_anchor": "middle", "class_": "dark" if share > _DARK else None}
    return markup.tag("text", number, **middle, **kind)


def _short(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"


def _width(name: str) -> float:
    """Returns about how wide a name is, in pixels."""
    return sum(
        _LETTER if ord(letter) < _FIRST_WIDE else _WIDE_LETTER
        for letter in _short(name)
    )
