"""Formats that only a parser can take apart: CSV, TMX, gettext PO, Parquet.

A quoted CSV field may hold newlines, the others are not lines at all. So one process
reads them, row by row, and others encode what it read.
"""

import collections
import csv
import json
from collections.abc import Iterator
from typing import Any

from pipeline import exits, extras, locations
from preprocessing import cleaning, corpus_config, line_formats, lines, rows

_CSV_LINE_BYTES = 1 << 22  # longer lines are cut and not taken apart
_CSV_FIELD_CHARACTERS = 1 << 24  # as far as the end of a quoted field is looked for
_PARQUET_ROWS = 4096
_XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
# TMX 1.4b: codes of the original format stand in these, text of the segment does not.
_TMX_CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})


def read_csv(
    path: locations.Location,
    layout: corpus_config.Layout,
    columns: tuple[tuple[int, ...], ...],
    max_bytes: int,
) -> Iterator[rows.Row]:
    """Yields the rows of a CSV file (RFC 4180), the header left out.

    A line that begins no row, such as one with a quote that is not closed, is a reject
    by itself: the next line begins the next row, also where it was meant to be part of
    the one before. So is the first line of several that would be a row without the
    columns asked for or with a side that is too long: its quote has most likely met
    another one by chance, and what lies between are rows.

    Args:
        path: The file, `.gz` or plain.
        layout: Its delimiter, header and encoding.
        columns: Positions of source and targets, from 0.
        max_bytes: Longest side; of a line that is left out no more is shown.
    """
    csv.field_size_limit(_CSV_FIELD_CHARACTERS)
    source = _CsvLines(path, layout.encoding)
    reader = csv.reader(source, delimiter=layout.delimiter, strict=True)
    is_header = layout.header
    row: rows.Row | None
    while True:
        begin = source.begin_row()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            row = source.give_back(max_bytes)
        else:
            row = _csv_row(begin, fields, columns, max_bytes)
            if source.num_taken > 1 and _is_swallowed(row, max_bytes):
                row = source.give_back(max_bytes)
            elif not fields:  # an empty line is no row
                row = None
        if row is not None and not is_header:
            yield row
        is_header = False


def csv_header(path: locations.Location, layout: corpus_config.Layout) -> list[str]:
    """Returns the names of a CSV file's columns: its first row.

    A quote that nothing closes has no row; then they are those of the first line.
    """
    source = _CsvLines(path, layout.encoding)
    reader = csv.reader(source, delimiter=layout.delimiter, strict=True)
    source.begin_row()
    try:
        return next(reader, [])
    except csv.Error:
        line = source.first_taken
        return next(csv.reader([line], delimiter=layout.delimiter), [])


def _is_swallowed(row: rows.Row, max_bytes: int) -> bool:
    """Returns whether a row of several lines is no row, but several that a quote ate.

    A text with newlines in it has its columns, and sides that can be kept.
    """
    longest = max(map(len, (row.src, *row.references)))
    return row.problem == cleaning.COLUMNS or longest > max_bytes


class _CsvLines:
    """Lines with their ends for `csv.reader`, which may come a second time.

    Bytes that cannot be decoded come as surrogates.
    """

    def __init__(self, path: locations.Location, encoding: str) -> None:
        self._unread = lines.read(path, _CSV_LINE_BYTES, encoding)
        self._again: collections.deque[bytes] = collections.deque()
        self._taken: list[bytes] = []  # by the row that is being read
        self._number = 0
        self._encoding = lines.working_encoding(encoding)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._unread)
        self._taken.append(line)
        if len(line) > _CSV_LINE_BYTES:
            raise csv.Error("a line that was cut")
        return line.decode(self._encoding, errors="surrogateescape") + "\n"

    def begin_row(self) -> int:
        """Returns the number of the next line, with which a row begins."""
        self._number += len(self._taken)
        self._taken.clear()
        return self._number + 1

    @property
    def num_taken(self) -> int:
        """The number of lines that the row has taken so far."""
        return len(self._taken)

    @property
    def first_taken(self) -> str:
        """The first line of the row, without its end."""
        return self._taken[0].decode(self._encoding, errors="surrogateescape")

    def give_back(self, max_bytes: int) -> rows.Row:
        """Returns the first line of the row as a reject; the others come again."""
        first, *others = self._taken
        self._again.extendleft(reversed(others))
        self._taken = [first]
        problem = cleaning.FORMAT
        if len(first) > _CSV_LINE_BYTES:
            problem = cleaning.TOO_LONG
        text = first.decode(self._encoding, errors="surrogateescape")
        return rows.Row(self._number + 1, _back(text)[: max_bytes + 1], (), problem)


def _csv_row(
    number: int,
    fields: list[str],
    columns: tuple[tuple[int, ...], ...],
    max_bytes: int,
) -> rows.Row:
    try:
        texts = [" ".join([fields[index] for index in column]) for column in columns]
    except IndexError:
        shown = _back(",".join(fields))[: max_bytes + 1]
        return rows.Row(number, shown, (), cleaning.COLUMNS)
    try:
        src, *references = [rows.one_line(text).encode() for text in texts]
    except UnicodeEncodeError:  # a surrogate stands for a byte that was not decoded
        shown = _back("\t".join(texts))[: max_bytes + 1]
        return rows.Row(number, shown, (), cleaning.ENCODING)
    return rows.Row(number, src, tuple(references))


def _back(text: str) -> bytes:
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # a surrogate of the text itself, which UTF-7 can have
        return text.encode(errors="surrogatepass")


def read_tmx(
    path: locations.Location, languages: tuple[str, ...]
) -> Iterator[rows.Row]:
    """Yields the translation units of a TMX file (1.4b), in bounded memory.

    A unit with several variants of its source is a row for each text; those of its
    targets are references. Entities that a document declares are never expanded: such a
    file is refused.

    Args:
        path: The file, `.gz` or plain.
        languages: Of source and targets; `en` takes `en-GB` too.

    Raises:
        exits.Refusal: If it is not well-formed, or declares entities.
    """
    import defusedxml.ElementTree
    from defusedxml import common

    number = 0
    around: list[Any] = []  # elements that are not at their end
    with lines.open_bytes(path) as file:
        try:
            events = defusedxml.ElementTree.iterparse(file, events=("start", "end"))
            for event, element in events:
                if event == "start":
                    around.append(element)
                    continue
                around.pop()
                if _local(element.tag) == "tu":
                    number += 1
                    yield from _tmx_rows(number, element, languages)
                    for parent in around[-1:]:
                        parent.clear()  # or the whole document would stay
        except lines.DAMAGE as error:
            raise lines.damaged(path, error) from None
        except common.EntitiesForbidden as error:
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{path}: declares the entity {error.name!r}; entities are never "
                "expanded, write the text itself",
            ) from None
        except defusedxml.ElementTree.ParseError as error:
            raise exits.Refusal(
                exits.BAD_DATA, f"{path}: is not well-formed XML ({error})"
            ) from None
        except (LookupError, ValueError) as error:
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{path}: is in an encoding that XML is not read in ({error}); convert "
                "it to UTF-8",
            ) from None


def _tmx_rows(number: int, unit: Any, languages: tuple[str, ...]) -> Iterator[rows.Row]:
    """Yields a row for each text of the source, in `en-GB` and `en-US`, of a unit."""
    texts: dict[str, list[str]] = {language: [] for language in languages}
    for variant in unit.iterfind(".//{*}tuv"):
        spoken = (variant.get(_XML_LANGUAGE) or variant.get("lang") or "").lower()
        segment = variant.find("{*}seg")
        for language in languages:
            wanted = language.lower()
            if segment is not None and (
                spoken == wanted or spoken.startswith((f"{wanted}-", f"{wanted}_"))
            ):
                text = "".join(_tmx_text(segment))
                texts[language].append(rows.one_line(text))
    sources, *targets = (list(dict.fromkeys(variants)) for variants in texts.values())
    references = tuple(text.encode() for target in targets for text in target)
    if not sources or not references:
        shown = " ".join("".join(unit.itertext()).split())
        yield rows.Row(number, shown.encode(), (), cleaning.COLUMNS)
        return
    for src in sources:
        yield rows.Row(number, src.encode(), references)


def _local(tag: str) -> str:
    """Returns the name of an element without its namespace."""
    return tag.rpartition("}")[2]


def _tmx_text(element: Any) -> Iterator[str]:
    waiting = [element]  # what is to come, the next one last
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
            continue
        yield part.text or ""
        for child in reversed(part):
            waiting.append(child.tail or "")
            if _local(child.tag) not in _TMX_CODES:
                waiting.append(child)


def read_po(path: locations.Location, encoding: str) -> Iterator[rows.Row]:
    """Yields the entries of a gettext catalogue: msgid to msgstr.

    Of an entry with plural forms the singular goes with the first form, the plural with
    the last. Entries that translators marked fuzzy or obsolete are rejects.

    Raises:
        exits.Refusal: If it is not a catalogue.
    """
    import polib

    try:
        with lines.open_bytes(path) as file:
            content = _Catalogue(file.read().decode(encoding))
        entries = polib.pofile(content)
    except lines.DAMAGE as error:
        raise lines.damaged(path, error) from None
    except UnicodeDecodeError as error:
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{path}: is not {encoding} ({error.reason} at byte {error.start}); name "
            "its encoding with --encoding",
        ) from None
    except (OSError, ValueError) as error:
        raise exits.Refusal(
            exits.BAD_DATA, f"{path}: is not a gettext catalogue ({error})"
        ) from None
    for entry in entries:
        problem = ""
        if entry.obsolete or entry.fuzzy:
            problem = cleaning.OBSOLETE if entry.obsolete else cleaning.FUZZY
        forms = [(entry.msgid, entry.msgstr)]
        if entry.msgid_plural:
            last = max(entry.msgstr_plural, default=0)
            forms = [
                (entry.msgid, entry.msgstr_plural.get(0, "")),
                (entry.msgid_plural, entry.msgstr_plural.get(last, "")),
            ]
        for src, tgt in forms:
            references = () if problem else (rows.one_line(tgt).encode(),)
            yield rows.Row(
                entry.linenum or 0, rows.one_line(src).encode(), references, problem
            )


class _Catalogue(str):
    r"""Text whose lines end at `\n`, `\r\n` or `\r` alone, for polib, which asks."""

    __slots__ = ()

    def splitlines(self, keepends: bool = False) -> list[str]:
        """Returns the lines."""
        assert not keepends
        return self.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_parquet(
    path: locations.Location, columns: tuple[str, ...], *, labels: bool
) -> Iterator[rows.Row]:
    """Yields the rows of a Parquet file, a part at a time.

    Args:
        path: The file.
        columns: Of source and targets; `a.b` leads into a struct, `a+b` joins two.
        labels: Whether the target is a label.

    Raises:
        exits.Refusal: If it is no Parquet file, is damaged, or has no such columns.
    """
    if isinstance(path, locations.RemotePath):
        raise exits.Refusal(
            exits.USAGE,
            f"{path}: --format=parquet reads files of this machine's file systems only",
        )
    parquet = extras.load("pyarrow.parquet", needed_by="--format=parquet")
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise exits.Refusal(
            exits.BAD_DATA, f"{path}: is not a Parquet file ({error})"
        ) from None
    with file:
        there = list(file.schema_arrow.names)
        wanted = {
            path if path in there else path.split(".")[0]
            for column in columns
            for path in ([column] if column in there else column.split("+"))
        }
        if missing := sorted(wanted - set(there)):
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{path}: has no column {missing[0]!r}, it has {there}; see --columns",
            )
        number = 0
        for batch in _batches(path, file, sorted(wanted)):
            for record in _records(batch):
                number += 1
                shown = json.dumps(record, default=str, ensure_ascii=False).encode()
                yield line_formats.row_of_object(number, record, columns, shown, labels)


def _records(batch: Any) -> list[dict[str, Any]]:
    """Returns the rows of a part; text that is not UTF-8 comes as bytes."""
    try:
        records: list[dict[str, Any]] = batch.to_pylist()
    except UnicodeDecodeError:
        names = batch.schema.names
        found = zip(*[map(_value, column) for column in batch.columns], strict=True)
        return [dict(zip(names, values, strict=True)) for values in found]
    return records


def _value(scalar: Any) -> Any:
    """Returns what a field of a Parquet file holds, as Python has it."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        if hasattr(scalar, "dictionary"):
            return _value(scalar.value)
        if hasattr(scalar, "as_buffer"):
            return scalar.as_buffer().to_pybytes()
    if hasattr(scalar, "keys"):
        return {name: _value(scalar[name]) for name in scalar}
    return list(map(_value, scalar.values))


def _batches(path: locations.Location, file: Any, columns: list[str]) -> Iterator[Any]:
    """Yields a Parquet file's parts, or refuses one that cannot be read."""
    try:
        yield from file.iter_batches(_PARQUET_ROWS, columns=columns)
    except (OSError, ValueError) as error:
        raise lines.damaged(path, error) from None
