"""HTML from nested calls; every text is escaped unless it is markup already.

    tag("p", "1 < 2 ", tag("b", "yes"), class_="told")
    -> <p class="told">1 &lt; 2 <b>yes</b></p>

Texts of a run are the data's and the model's: a page must show them, never obey them.
"""

import html
import unicodedata
from collections.abc import Iterable, Sequence

_VOID = {"meta", "path", "rect", "circle", "line", "br"}  # where they have no children


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


_NO_LETTERS = ("Cc", "Cs")  # controls; halves of surrogate pairs

Child = str | int | float | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """Returns an element.

    Args:
        name: Such as `p`.
        *children: Texts, which are escaped, markup, which is not, lists of both; None
            is nothing.
        **attributes: `class_` for `class`, `stroke_width` for `stroke-width`; one that
            is None is left out.

    >>> tag("p", "1 < 2 ", tag("b", "yes"), class_="told")
    '<p class="told">1 &lt; 2 <b>yes</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """Returns children one after the other, texts escaped."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str | int | float):
            parts.append(html.escape(printable(str(child))))
        else:
            parts.append(joined(*child))
    return Markup("".join(parts))


def table(
    head: Sequence[Child],
    rows: Iterable[Sequence[Child]],
    *,
    numbers_from: int | None = 1,
) -> Markup:
    """Returns a table in a box of its own that scrolls where it is too wide.

    Args:
        head: Titles of the columns.
        rows: Of the same length.
        numbers_from: The first column that is aligned to the right; None for none.
    """

    def cells(name: str, row: Sequence[Child]) -> list[Markup]:
        first = len(row) if numbers_from is None else numbers_from
        return [
            tag(name, cell, class_="number" if column >= first else None)
            for column, cell in enumerate(row)
        ]

    body = [tag("tr", *cells("td", row)) for row in rows]
    whole = tag(
        "table", tag("thead", tag("tr", *cells("th", head))), tag("tbody", *body)
    )
    return tag("div", whole, class_="scroll")


def bar(share: float) -> Markup:
    """Returns a share as a number with a bar behind it."""
    style = f"--share:{100 * share:.1f}%"
    return tag("span", f"{share:.3f}", class_="bar", style=style)


def printable(text: str) -> str:
    """Returns a text without control characters, which no page can hold."""
    return "".join(
        "\ufffd" if unicodedata.category(one) in _NO_LETTERS else one for one in text
    )
