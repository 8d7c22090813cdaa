"""Word vectors in the text format of word2vec and GloVe.

A line has a word and its numbers with single blanks between; word2vec has one line more
at the top, with the number of words and the size of a vector. The vector is the last
fields of a line, as many as on the first one: a word may have blanks in it.
"""

import pathlib
from collections.abc import Set

import numpy as np

from pipeline import exits

_WORD_START = "\u2581"  # SentencePiece's mark of the beginning of a word


def word_of(piece: str) -> str:
    """Returns what a word vector file would call a subword."""
    return piece.removeprefix(_WORD_START) or piece


def read(path: pathlib.Path, wanted: Set[str]) -> dict[str, np.ndarray]:
    """Returns the vectors of some words, float32 [D] each.

    Raises:
        exits.Refusal: If the file is not there, or not of this format.
    """
    if not path.is_file():
        raise exits.Refusal(exits.MISSING_INPUT, f"{path}: no such file")
    found: dict[str, np.ndarray] = {}
    size = 0
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, 1):
            fields = line.rstrip().split(" ")
            if number == 1 and len(fields) == 2:
                continue  # word2vec's counts
            size = size or len(fields) - 1
            if not size:
                raise _refusal(path, number, "has a word and no numbers")
            if len(fields) <= size:
                raise _refusal(
                    path, number, f"has {len(fields) - 1} numbers, not {size}"
                )
            word, numbers = " ".join(fields[:-size]), fields[-size:]
            if word not in wanted or word in found:
                continue
            try:
                found[word] = np.array(numbers, np.float32)
            except ValueError:
                raise _refusal(path, number, "has what is no number") from None
    return found


def _refusal(path: pathlib.Path, number: int, what: str) -> exits.Refusal:
    return exits.Refusal(
        exits.BAD_DATA,
        f"{path}:{number}: {what}; want a word and the numbers of its vector a line",
    )
