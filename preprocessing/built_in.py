"""Built-in corpora: what a quickstart can learn without a file of the user's."""

import hashlib
import pathlib

from preprocessing import number_words, pronunciations, rows

# Examples of the test and of the valid split; the rest is train.
_HELD_OUT = {"cmudict": (12_000, 2_670), "numbers": (1_000, 500)}
_NUM_NUMBERS = 20_000


def files(name: str) -> tuple[pathlib.Path, ...]:
    """Returns the files that a corpus is read from; some are computed."""
    return (pronunciations.data_file(),) if name == "cmudict" else ()


def read(name: str, split: str) -> list[rows.Row]:
    """Returns the rows of one split of a corpus, words dealt by their hash."""
    if name == "cmudict":
        groups = list(pronunciations.read(pronunciations.data_file()).items())
    else:
        groups = [(src, [tgt]) for src, tgt in number_words.pairs(_NUM_NUMBERS)]
    by_hash = sorted(
        groups, key=lambda group: hashlib.sha256(group[0].encode()).digest()
    )
    num_test, num_valid = _HELD_OUT[name]
    first, last = {
        "test": (0, num_test),
        "valid": (num_test, num_test + num_valid),
        "train": (num_test + num_valid, len(by_hash)),
    }[split]
    return [
        rows.Row(number, src.encode(), tuple([target.encode() for target in targets]))
        for number, (src, targets) in enumerate(by_hash[first:last], start=1)
    ]
