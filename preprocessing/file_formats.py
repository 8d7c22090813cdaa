"""Formats that only a parser can take apart: CSV, TMX, gettext PO, Parquet.

A quoted CSV field may hold newlines, the others are not lines at all. So one process
reads them, row by row, and others encode what it read.
"""

import csv
import json
from collections.abc import Iterator
from typing import Any

from pipeline import exits, extras, locations
from preprocessing import cleaning, corpus_config, line_formats, lines, rows

_CSV_FIELD_BYTES = 1 << 24
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

    Args:
        path: The file, `.gz` or plain.
        layout: Its delimiter, header and encoding.
        columns: Positions of source and targets, from 0.
        max_bytes: Longest line that is read whole.

    Raises:
        exits.Refusal: If a quoted field is never closed.
    """
    csv.field_size_limit(_CSV_FIELD_BYTES)
    reader = csv.reader(
        _csv_lines(path, layout.encoding), delimiter=layout.delimiter, strict=True
    )
    begin, header = 1, layout.header
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "field larger" in str(error):
                raise exits.Refusal(
                    exits.BAD_DATA,
                    f"{path}: line {begin}: a quoted field begins and does not end; "
                    "close it, or read the file as --format=tsv",
                ) from None
            if not header:
                yield rows.Row(begin, str(error).encode(), (), cleaning.FORMAT)
        else:
            if fields and not header:  # an empty line is no row
                yield _csv_row(begin, fields, columns, max_bytes)
        begin, header = reader.line_num + 1, False


def _csv_lines(path: locations.Location, encoding: str) -> Iterator[str]:
    """Yields lines with their ends, bytes that cannot be decoded as surrogates."""
    working = lines.working_encoding(encoding)
    for line in lines.read(path, _CSV_FIELD_BYTES, encoding):
        yield line.decode(working, errors="surrogateescape") + "\n"


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

    Entities that a document declares are never expanded: such a file is refused.

    Args:
        path: The file, `.gz` or plain.
        languages: Of source and targets; `en` takes `en-GB` too.

    Raises:
        exits.Refusal: If it is not well-formed, or declares entities.
    """
    import defusedxml.ElementTree
    from defusedxml import common

    number = 0
    with lines.open_bytes(path) as file:
        try:
            events = defusedxml.ElementTree.iterparse(file, events=("start", "end"))
            _, root = next(events)
            for event, element in events:
                if event == "end" and _local(element.tag) == "tu":
                    number += 1
                    yield _tmx_row(number, element, languages)
                    root.clear()  # or the whole document would stay
                    for child in root:
                        child.clear()
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


def _tmx_row(number: int, unit: Any, languages: tuple[str, ...]) -> rows.Row:
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
    src, *targets = texts.values()
    references = [text.encode() for target in targets for text in target]
    if not src or not references:
        shown = " ".join("".join(unit.itertext()).split())
        return rows.Row(number, shown.encode(), (), cleaning.COLUMNS)
    return rows.Row(number, src[0].encode(), tuple(references))


def _local(tag: str) -> str:
    """Returns the name of an element without its namespace."""
    return tag.rpartition("}")[2]


def _tmx_text(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if _local(child.tag) not in _TMX_CODES:
            yield from _tmx_text(child)
        yield child.tail or ""


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
            content = file.read().decode(encoding)
        entries = polib.pofile(content)
    except lines.DAMAGE as error:
        raise lines.damaged(path, error) from None
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
            for record in batch.to_pylist():
                number += 1
                shown = json.dumps(record, default=str, ensure_ascii=False).encode()
                yield line_formats.row_of_object(number, record, columns, shown, labels)


def _batches(path: locations.Location, file: Any, columns: list[str]) -> Iterator[Any]:
    """Yields a Parquet file's parts, or refuses one that cannot be read."""
    try:
        yield from file.iter_batches(_PARQUET_ROWS, columns=columns)
    except (OSError, ValueError) as error:
        raise lines.damaged(path, error) from None
