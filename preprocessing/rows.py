"""Rows: pairs as they are read, before they are decoded or cleaned."""

from typing import NamedTuple


class Row(NamedTuple):
    """One pair as read.

    Attributes:
        line: Its line in the file, from 1; in formats without lines its number.
        src: The source, as UTF-8 if it could be decoded.
        references: The targets, one or more; of `--task=labels` the label.
        problem: Why the reader could not take the line apart, a reason of
            `cleaning`; then `src` is the line as it is and there are no references.
    """

    line: int
    src: bytes
    references: tuple[bytes, ...]
    problem: str = ""
