"""The page: sections under headings, its style inside, nothing from outside."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from pipeline import manifest
from trainers.reporting import (
    against,
    batches,
    collecting,
    confused,
    corpus,
    curves,
    markup,
    overview,
    promises,
    texts,
    times,
)

_STYLE = pathlib.Path(__file__).with_name("page.css")
# Nothing may be fetched and nothing may run, should a text get past the escaping.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Content(NamedTuple):
    """Everything a page is made of.

    Attributes:
        runs: The run, and those beside it.
        data: The manifest of the run's data directory, or why there is none.
        planned: Its batches, or why they are not known.
        attention: Pictures of attention, or why there are none; None where it is not
            worth a section.
    """

    runs: Sequence[collecting.Run]
    data: manifest.Manifest | str
    planned: batches.Batches | str
    attention: Sequence[markup.Markup] | str | None


def render(content: Content) -> str:
    """Returns the page."""
    run = content.runs[0]
    sections = [
        _section("Side by side", against.describe(content.runs))
        if len(content.runs) > 1
        else None,
        _section("Curves", [_charts(curves.draw(list(content.runs)))]),
        _pair(
            _section("Promises", [promises.table(_promises(content))]),
            _section("What was asked", overview.asked(run)),
        ),
        _section("Samples", _samples(content)) if not run.is_of_vectors else None,
        _attention(content),
        _section("Confusions", confused.describe(run)) if _has_classes(run) else None,
        _section("Batches", _batches(content)),
        _section("Data", _data(content)),
        _pair(
            _section("Step time", times.draw(run)),
            _section("Machine and versions", [overview.machine(run)]),
        ),
        _section("Repeat it", [overview.repeat(run)]),
    ]
    told = f"{overview.kind(run)}; {overview.state(run)}"
    head = markup.tag("header", markup.tag("h1", run.name), markup.tag("p", told))
    return whole(run.name, [head, overview.tiles(run), sections])


def whole(title: str, body: Sequence[markup.Child]) -> str:
    """Returns a whole page of a title and what is below it."""
    head = markup.tag(
        "head",
        markup.tag("meta", charset="utf-8"),
        markup.tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        markup.tag(
            "meta", name="viewport", content="width=device-width, initial-scale=1"
        ),
        markup.tag("meta", name="color-scheme", content="light dark"),
        markup.tag("title", f"{title} · Sluice"),
        markup.tag("style", markup.Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    main = markup.tag("body", markup.tag("main", body))
    return f"<!doctype html>\n{markup.tag('html', head, main, lang='en')}\n"


def _section(title: str, parts: Sequence[markup.Child]) -> markup.Markup:
    return markup.tag("section", markup.tag("h2", title), parts)


def _pair(*sections: markup.Markup) -> markup.Markup:
    """Returns two sections beside each other where there is room."""
    return markup.tag("div", sections, class_="pair")


def _charts(drawn: Sequence[markup.Markup]) -> markup.Markup:
    if not drawn:
        return markup.tag("p", "Nothing was logged.", class_="told")
    return markup.tag("div", drawn, class_="charts")


def _told(text: str) -> list[markup.Markup]:
    return [markup.tag("p", text, class_="told")]


def _promises(content: Content) -> list[promises.Promise]:
    planned = content.planned if isinstance(content.planned, batches.Batches) else None
    return promises.check(content.runs[0], content.data, planned)


def _samples(content: Content) -> list[markup.Markup]:
    data = content.data
    has_no_case = not isinstance(data, str) and bool(data.settings.get("lowercase"))
    return texts.describe(content.runs[0], lowercase=has_no_case)


def _batches(content: Content) -> list[markup.Markup]:
    if isinstance(content.planned, str):
        return _told(content.planned)
    return batches.describe(content.planned)


def _data(content: Content) -> list[markup.Markup]:
    if isinstance(content.data, str):
        return _told(content.data)
    return corpus.describe(content.data)


def _attention(content: Content) -> markup.Markup | None:
    if content.attention is None:
        return None
    told = content.attention
    return _section("Attention", _told(told) if isinstance(told, str) else told)


def _has_classes(run: collecting.Run) -> bool:
    return run.is_of_vectors and run.flags.get("head") != "embedding"
