"""Cleaning: a pair comes out whole, or with one reason why not.

Each step is a function of a text or of a pair of lengths, and each reason a name. Every
row is held to the first list, training rows to all of them: valid and test keep each
line that can be decoded and recorded, so that a score always covers the whole set.

    every row       columns, format, encoding, too_long (bytes)
    training text   empty, control, identical, script
    training ids    empty, too_short, too_long (tokens), ratio
    between rows    duplicate, overlap, weight
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import regex

from preprocessing import config, rows

COLUMNS = "columns"  # fewer columns or fields than were asked for
FORMAT = "format"  # not laid out as the format says
FUZZY = "fuzzy"  # a PO entry that a translator has not confirmed
OBSOLETE = "obsolete"  # a PO entry that is no longer used
ENCODING = "encoding"  # cannot be decoded
EMPTY = "empty"  # a side without a visible character
CONTROL = "control"  # NUL or another C0 control character, tabs excepted
TOO_SHORT = "too_short"  # fewer tokens than asked for
TOO_LONG = "too_long"  # more bytes or tokens than allowed
RATIO = "ratio"  # one side far longer than the other
IDENTICAL = "identical"  # both sides are the same text
SCRIPT = "script"  # too few letters of the script asked for
DUPLICATE = "duplicate"  # was there before
OVERLAP = "overlap"  # is in valid or test
WEIGHT = "weight"  # left out because its corpus weighs less than 1
LABEL = "label"  # shares that cannot be read
MALFORMED = (COLUMNS, FORMAT, ENCODING, LABEL)  # what --max_reject_fraction counts

_CONTROLS = re.compile("[\\x00-\\x08\\x0a-\\x1f]")
_CONTROL_BYTES = bytes({*range(0x20)} - {*b"\t\n"})  # as lines of UTF-8 have them


class Pair(NamedTuple):
    """A pair that can be encoded."""

    src: str
    references: tuple[str, ...]


def clean_text(
    row: rows.Row, cleaning: config.CleaningConfig, *, keep: bool
) -> Pair | str:
    """Returns the decoded pair, or the reason why it is left out.

    Args:
        row: The pair as read.
        cleaning: The bounds.
        keep: Whether the row is of a split that is kept whole.
    """
    _, raw_src, raw_references, problem = row
    if problem:
        return problem
    longest = cleaning.max_bytes
    if len(raw_src) > longest or len(max(raw_references, key=len)) > longest:
        return TOO_LONG
    try:
        src = raw_src.decode()
        references = tuple(map(bytes.decode, raw_references))
    except UnicodeDecodeError:
        return ENCODING
    if keep:
        return Pair(src, references)
    reason = ""
    for tgt in references:
        reason = reason or check_text(src, tgt, cleaning)
    return reason or Pair(src, references)


def clean_together(
    found: Sequence[rows.Row], cleaning: config.CleaningConfig
) -> tuple[list[str], list[str]] | None:
    """Returns sources and targets if no row gives any reason to be left out.

    Most chunks are such, and a look at a whole chunk costs a third of a look at each of
    its rows. Otherwise, or where a row has several references, the answer is None and
    `clean_text` has to look at each.
    """
    if cleaning.drop_identical or cleaning.src_script or cleaning.tgt_script:
        return None
    if any(row.problem or len(row.references) != 1 for row in found):
        return None
    sides = []
    for raw in (
        [row.src for row in found],
        [row.references[0] for row in found],
    ):
        if max(map(len, raw), default=0) > cleaning.max_bytes:
            return None
        whole = b"\n".join(raw)
        # Of bytes, this takes a tenth of what a regular expression does.
        without = whole.translate(None, _CONTROL_BYTES)
        if cleaning.control == "drop" and len(without) != len(whole):
            return None
        try:
            texts = whole.decode().split("\n")
        except UnicodeDecodeError:
            return None
        if len(texts) != len(raw) or not all(map(str.strip, texts)):
            return None
        sides.append(texts)
    return sides[0], sides[1]


def check_text(src: str, tgt: str, cleaning: config.CleaningConfig) -> str:
    """Returns why a training pair of such texts is left out, or nothing."""
    if not src or not tgt or src.isspace() or tgt.isspace():
        return EMPTY
    if cleaning.control == "drop" and (_CONTROLS.search(src) or _CONTROLS.search(tgt)):
        return CONTROL
    if cleaning.drop_identical and src.strip() == tgt.strip():
        return IDENTICAL
    if cleaning.src_script or cleaning.tgt_script:
        for text, script in ((src, cleaning.src_script), (tgt, cleaning.tgt_script)):
            if script and script_share(text, script) < cleaning.min_script_share:
                return SCRIPT
    return ""


def script_share(text: str, script: str) -> float:
    """Returns which share of a text's letters is of a Unicode script, in [0, 1].

    Letters that several scripts use (Unicode's Common) count for any of them; a text
    without letters is of every script. Unicode Standard Annex 24.

    >>> script_share("Москва!", "Cyrillic"), script_share("Москва", "Latin")
    (1.0, 0.0)
    """
    letters = regex.findall(r"\p{L}", text)
    if not letters:
        return 1.0
    own = regex.compile(rf"[\p{{Script={script}}}\p{{Script=Common}}]")
    return sum(1 for letter in letters if own.match(letter)) / len(letters)


def plainly_good_lengths(
    num_src: np.ndarray, num_tgt: np.ndarray, cleaning: config.CleaningConfig
) -> np.ndarray:
    """Returns which pairs need no look by `check_lengths`, nor any cutting.

    Args:
        num_src: Tokens, int64 [N].
        num_tgt: Tokens, int64 [N].
        cleaning: The bounds.

    Returns:
        bool [N]; for each that is set `check_lengths` is None.
    """
    shorter, longer = np.minimum(num_src, num_tgt), np.maximum(num_src, num_tgt)
    good: np.ndarray = shorter >= max(1, cleaning.min_length)
    good &= longer < cleaning.max_length
    if cleaning.max_ratio:
        good &= longer <= cleaning.max_ratio * shorter
    return good


def check_lengths(
    num_src: int, num_tgt: int, cleaning: config.CleaningConfig
) -> str | None:
    """Returns why a training pair of so many tokens is left out, or None."""
    shorter, longer = min(num_src, num_tgt), max(num_src, num_tgt)
    if shorter == 0:  # nothing but what normalisation removes
        return EMPTY
    if shorter < cleaning.min_length:
        return TOO_SHORT
    if longer >= cleaning.max_length and cleaning.overlong == "drop":
        return TOO_LONG
    if cleaning.max_ratio and longer > cleaning.max_ratio * shorter:
        return RATIO
    return None
