r"""Lines that are translated, scored or labelled, from files and stdin.

A line ends at `\n` alone, as in a corpus; one `\r` before it is dropped, and a
byte-order mark at the beginning. Bytes that are not UTF-8 are read as U+FFFD where an
answer is wanted for every line, and refused where a file is scored as a whole.
"""

import codecs
import pathlib
from collections.abc import Iterable, Iterator

from pipeline import exits

_GZIP = b"\x1f\x8b"  # how such files begin, RFC 1952


def read(source: Iterable[bytes], name: str) -> Iterator[str]:
    """Yields the lines of an open file, as they come in.

    Args:
        source: The file.
        name: What it is called in a refusal.

    Raises:
        exits.Refusal: If it is compressed.
    """
    for number, line in enumerate(_unmarked(source)):
        if not number:
            _check_unpacked(line, name)
        yield text(line)


def of_file(path: pathlib.Path) -> list[str]:
    """Returns the lines of a file that is scored.

    Raises:
        exits.Refusal: If it is compressed or not UTF-8.
    """
    with path.open("rb") as file:
        _check_unpacked(file.peek(), str(path))
        return [
            _strictly(line, path, number)
            for number, line in enumerate(_unmarked(file), start=1)
        ]


def text(line: bytes) -> str:
    """Returns a line without its end."""
    return _without_end(line).decode(errors="replace")


def _check_unpacked(begin: bytes, name: str) -> None:
    if begin.startswith(_GZIP):
        raise exits.Refusal(
            exits.BAD_DATA, f"{name}: is compressed; unpack it, as with gunzip -k"
        )


def _unmarked(source: Iterable[bytes]) -> Iterator[bytes]:
    mark = codecs.BOM_UTF8
    for line in source:
        yield line.removeprefix(mark)
        mark = b""


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


def _strictly(line: bytes, path: pathlib.Path, number: int) -> str:
    """Returns a line without its end, or refuses what would be scored as U+FFFD."""
    content = _without_end(line)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{path}:{number}: byte {error.start + 1} of the line, "
            f"0x{content[error.start]:02X}, is not UTF-8; convert the file, as with "
            f"iconv -f LATIN1 -t UTF-8 {path}",
        ) from None
