r"""Lines that are translated, scored or labelled, from files and stdin.

A line ends at `\n` alone, as in a corpus; one `\r` before it is dropped, and a
byte-order mark at the beginning. Bytes that are not UTF-8 are read as U+FFFD.
"""

import codecs
import pathlib
from collections.abc import Iterable, Iterator


def read(source: Iterable[bytes]) -> Iterator[str]:
    """Yields the lines of an open file, as they come in."""
    mark = codecs.BOM_UTF8
    for line in source:
        yield text(line.removeprefix(mark))
        mark = b""


def of_file(path: pathlib.Path) -> list[str]:
    """Returns the lines of a file."""
    with path.open("rb") as file:
        return list(read(file))


def text(line: bytes) -> str:
    """Returns a line without its end."""
    return line.removesuffix(b"\n").removesuffix(b"\r").decode(errors="replace")
