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
        text = reject.text.decode(errors="backslashreplace")
        escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
        escaped = escaped.replace("\r", "\\r")
        fields = (name, str(reject.line), reject.reason, escaped)
        found.append("\t".join(fields) + "\n")
    return compressed("".join(found).encode())


def compressed(content: bytes) -> bytes:
    """Returns a gzip member without name or time; members may follow each other."""
    return gzip.compress(content, compresslevel=6, mtime=0)
