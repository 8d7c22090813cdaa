"""Cleaning: a pair comes out whole, or with one reason why not.

Training pairs are held to every rule. Valid and test keep each line that can be decoded
and recorded, so that a score always covers the whole set.
"""

from typing import NamedTuple

from preprocessing import config, corpora

COLUMNS = "columns"  # a TSV line with too few columns
ENCODING = "encoding"  # not UTF-8
EMPTY = "empty"  # a side without a visible character
CONTROL = "control"  # NUL or another C0 control character, tabs excepted
TOO_LONG = "too_long"  # more bytes or tokens than allowed
RATIO = "ratio"  # one side far longer than the other

_CONTROLS = frozenset(map(chr, range(0x20))) - {"\t"}


class Pair(NamedTuple):
    """A pair that can be encoded."""

    src: str
    references: tuple[str, ...]


def clean_text(
    row: corpora.Row, cleaning: config.CleaningConfig, *, keep: bool
) -> Pair | str:
    """Returns the decoded pair, or the reason why it is left out.

    Args:
        row: The pair as read.
        cleaning: The bounds.
        keep: Whether the row is of a split that is kept whole.
    """
    if not row.references:
        return COLUMNS
    if max(len(row.src), *map(len, row.references)) > cleaning.max_bytes:
        return TOO_LONG
    try:
        src = row.src.decode()
        references = tuple(reference.decode() for reference in row.references)
    except UnicodeDecodeError:
        return ENCODING
    if keep:
        return Pair(src, references)
    if not src.strip() or not all(reference.strip() for reference in references):
        return EMPTY
    if any(not _CONTROLS.isdisjoint(text) for text in (src, *references)):
        return CONTROL
    return Pair(src, references)


def check_lengths(
    num_src: int, num_tgt: int, cleaning: config.CleaningConfig
) -> str | None:
    """Returns why a training pair of so many tokens is left out, or None."""
    if min(num_src, num_tgt) == 0:  # nothing but what normalisation removes
        return EMPTY
    if max(num_src, num_tgt) + 1 > cleaning.max_length:
        return TOO_LONG
    if cleaning.max_ratio and max(num_src, num_tgt) > cleaning.max_ratio * min(
        num_src, num_tgt
    ):
        return RATIO
    return None
