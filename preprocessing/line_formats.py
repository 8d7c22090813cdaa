"""Formats with a row on each line: parallel files, TSV, JSON lines, regular expression.

A reader of such a format is a small object that can be sent to another process, so that
lines travel as one block of bytes and are taken apart where they are encoded.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from preprocessing import cleaning, rows

_UTF8 = "utf-8"


class LineReader(Protocol):
    """Takes apart what stands on one line of each file."""

    def row(self, number: int, texts: Sequence[bytes]) -> rows.Row:
        """Returns the row of line `number`; `texts` has its line in each file."""


@dataclasses.dataclass(frozen=True)
class Parallel:
    """A source in one file, a target in each of the others.

    Attributes:
        encodings: Of the files; what is not UTF-8 is turned into it.
    """

    encodings: tuple[str, ...]

    def row(self, number: int, texts: Sequence[bytes]) -> rows.Row:
        """Returns the row of line `number`."""
        if any(encoding != _UTF8 for encoding in self.encodings):
            try:
                texts = [
                    text.decode(encoding).encode()
                    for text, encoding in zip(texts, self.encodings, strict=True)
                ]
            except UnicodeError:
                return _undecodable(number, b"\t".join(texts))
        return rows.Row(number, texts[0], tuple(texts[1:]))


@dataclasses.dataclass(frozen=True)
class Tsv:
    """Fields with tabs between them; no quotes, no escapes.

    Attributes:
        columns: Positions of source and targets, from 0; several are joined by spaces.
        encoding: Of the file.
    """

    columns: tuple[tuple[int, ...], ...]
    encoding: str

    def row(self, number: int, texts: Sequence[bytes]) -> rows.Row:
        """Returns the row of line `number`."""
        line = texts[0]
        if self.encoding != _UTF8:
            try:
                line = line.decode(self.encoding).encode()
            except UnicodeError:
                return _undecodable(number, line)
        fields = line.split(b"\t")
        try:
            if self._plain is not None:
                src, tgt = self._plain
                return rows.Row(number, fields[src], (fields[tgt],))
            found = [
                b" ".join([fields[index] for index in column])
                for column in self.columns
            ]
        except IndexError:
            return rows.Row(number, line, (), cleaning.COLUMNS)
        return rows.Row(number, found[0], tuple(found[1:]))

    @functools.cached_property
    def _plain(self) -> tuple[int, int] | None:
        """The positions, where there are two of one field each: most files."""
        if [len(column) for column in self.columns] == [1, 1]:
            return self.columns[0][0], self.columns[1][0]
        return None


@dataclasses.dataclass(frozen=True)
class JsonLines:
    """A JSON object on each line.

    Attributes:
        columns: Paths to source and targets, such as `translation.en`.
        labels: Whether the target is a label.
        encoding: Of the file.
    """

    columns: tuple[str, ...]
    labels: bool
    encoding: str

    def row(self, number: int, texts: Sequence[bytes]) -> rows.Row:
        """Returns the row of line `number`."""
        try:
            content = json.loads(texts[0].decode(self.encoding))
        except UnicodeError:
            return _undecodable(number, texts[0])
        except (ValueError, RecursionError):
            return rows.Row(number, texts[0], (), cleaning.FORMAT)
        return row_of_object(number, content, self.columns, texts[0], self.labels)


@dataclasses.dataclass(frozen=True)
class Regex:
    """A line that a regular expression matches as a whole.

    Attributes:
        pattern: With groups `src` and `tgt`, or `text` and `label`.
        encoding: Of the file.
    """

    pattern: str
    encoding: str

    def row(self, number: int, texts: Sequence[bytes]) -> rows.Row:
        """Returns the row of line `number`."""
        try:
            line = texts[0].decode(self.encoding)
        except UnicodeError:
            return _undecodable(number, texts[0])
        match = re.fullmatch(self.pattern, line, re.DOTALL)
        if match is None:
            return rows.Row(number, texts[0], (), cleaning.FORMAT)
        groups = match.groupdict(default="")
        src = groups["src"] if "src" in groups else groups["text"]
        tgt = groups["tgt"] if "tgt" in groups else groups["label"]
        bad = "surrogatepass"  # of a lone surrogate, which UTF-7 can have; it stays bad
        return rows.Row(number, src.encode(errors=bad), (tgt.encode(errors=bad),))


@dataclasses.dataclass(frozen=True)
class SeveralReferences:
    """A format of which one place holds several references.

    Attributes:
        reader: Of the format.
        separator: What stands between them.
    """

    reader: LineReader
    separator: str

    def row(self, number: int, texts: Sequence[bytes]) -> rows.Row:
        """Returns the row of line `number`."""
        return rows.parted(self.reader.row(number, texts), self.separator.encode())


def row_of_object(
    number: int, content: Any, columns: Sequence[str], raw: bytes, labels: bool
) -> rows.Row:
    """Returns the row of a JSON object, or of a record of another nested format.

    A list in the place of the source is one text, its parts joined by spaces; a list in
    the place of a target is several references. A label that is not text is written as
    JSON; null is none.

    Args:
        number: Of the line or record.
        content: The object.
        columns: Paths to source and targets; `a+b` joins what two paths lead to.
        raw: What to show if a path leads nowhere.
        labels: Whether the target is a label.
    """
    try:
        src = " ".join(_all_texts(content, columns[0]))
        if labels:
            references = [_label(_at(content, columns[1]))]
        else:
            references = [
                text for path in columns[1:] for text in _all_texts(content, path)
            ]
    except UnicodeDecodeError:
        return _undecodable(number, raw)
    except (LookupError, TypeError, ValueError, RecursionError):
        references = []
    if not references:
        return rows.Row(number, raw, (), cleaning.COLUMNS)
    return rows.Row(
        number, _utf8(src), tuple([_utf8(reference) for reference in references])
    )


def _label(value: Any) -> str:
    if value is None:
        raise TypeError("a text without a label")
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _all_texts(content: Any, column: str) -> list[str]:
    """Returns the texts that a column leads to: a path, or paths joined by `+`."""
    paths = [column]
    if "+" in column and not (isinstance(content, dict) and column in content):
        paths = column.split("+")
    return [text for path in paths for text in _texts(_at(content, path))]


def _at(content: Any, path: str) -> Any:
    """Returns what a dotted path leads to; a key that has dots itself comes first."""
    if isinstance(content, dict) and path in content:
        return content[path]
    first, _, rest = path.partition(".")
    inner = content[int(first)] if isinstance(content, list) else content[first]
    return _at(inner, rest) if rest else inner


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):  # of Parquet without a logical type: Spark, Hive
        yield value.decode()
    elif isinstance(value, bool) or value is None or isinstance(value, dict):
        raise TypeError(f"{value!r} is not a text")
    elif isinstance(value, (int, float)):
        yield str(value)
    else:
        for item in value:
            yield from _texts(item)


def _utf8(text: str) -> bytes:
    r"""Returns UTF-8; a lone surrogate, which JSON can escape (`\ud800`), stays bad."""
    return rows.one_line(text).encode(errors="surrogatepass")


def _undecodable(number: int, line: bytes) -> rows.Row:
    return rows.Row(number, line, (), cleaning.ENCODING)
