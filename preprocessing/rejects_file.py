"""The rejects file: a line for each pair that is left out, gzip members one by one."""

import gzip
from typing import NamedTuple

HEADER = b"source\tline\treason\ttext\n"


class Reject(NamedTuple):
    """A pair that is left out."""

    split: str
    line: int
    reason: str
    text: bytes


def lines(name: str, rejects: list[Reject]) -> bytes:
    """Returns lines of the rejects file as one gzip member; nothing for no rejects.

    Args:
        name: Of their source.
        rejects: In order.
    """
    if not rejects:
        return b""
    found = []
    for reject in rejects:
        fields = (name, str(reject.line), reject.reason, escaped(reject.text))
        found.append("\t".join(fields) + "\n")
    return compressed("".join(found).encode())


def escaped(text: bytes) -> str:
    r"""Returns bytes as text of one line, from which they can be had again.

    >>> print(escaped(b"caf\xe9, \\xe9\n"))
    caf\xe9, \\xe9\n
    """
    shown = text.replace(b"\\", b"\\\\").decode(errors="backslashreplace")
    return shown.replace("\n", "\\n").replace("\r", "\\r")


def compressed(content: bytes) -> bytes:
    """Returns a gzip member without name or time; members may follow each other."""
    return gzip.compress(content, compresslevel=6, mtime=0)
