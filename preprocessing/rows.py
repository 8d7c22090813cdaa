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


def one_line(text: str) -> str:
    r"""Returns a text with a space for each break of a line.

    A quoted CSV field or a JSON string may have several lines. What is translated later
    comes a line at a time, so a model should not learn from anything else.

    >>> one_line("a \r\n\n b\n")
    'a b'
    """
    if "\n" not in text and "\r" not in text:
        return text
    parts = text.replace("\r", "\n").split("\n")
    return " ".join(filter(None, map(str.strip, parts)))


def parted(row: Row, separator: bytes) -> Row:
    """Returns a row whose references are what stands between separators, stripped.

    Empty ones are left out, unless there is no other.

    >>> parted(Row(1, b"read", (b"R IY D | R EH D",)), b"|").references
    (b'R IY D', b'R EH D')
    """
    texts = [
        text.strip() for whole in row.references for text in whole.split(separator)
    ]
    return row._replace(references=tuple(filter(None, texts)) or tuple(texts[:1]))
