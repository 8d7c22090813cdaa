"""Names of another toolkit's weights to ours, as a file of patterns says."""

import pathlib
import re
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from pipeline import exits

Tensor = TypeVar("Tensor")
_TRANSPOSED = ".T"


def renamed(
    tensors: Mapping[str, np.ndarray], path: pathlib.Path
) -> dict[str, np.ndarray]:
    """Returns tensors under our names, those alone that a file has a name for.

    Each line is a pattern and a name, with blanks between; every `*` of the name stands
    for what the `*` in its place matched:

        model/encoder/layers/*/ffn/inner/kernel  encoder/*/feed_forward/inner/kernel

    A name that ends with .T takes the transposed matrix: the kernel of an output layer
    has a column for each subword, our embeddings have a row.

    Raises:
        exits.Refusal: If the file is not there, or it or a line is something else.
    """
    if not path.is_file():
        raise exits.Refusal(exits.MISSING_INPUT, f"--name_map={path}: no such file")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise exits.Refusal(
            exits.BAD_DATA, f"--name_map={path}: is not UTF-8: {error}"
        ) from None
    found: dict[str, np.ndarray] = {}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        if len(fields) != 2 or fields[0].count("*") < fields[1].count("*"):
            raise exits.Refusal(
                exits.BAD_DATA,
                f"--name_map={path}:{number}: want PATTERN NAME, with no more * in the "
                "name than in the pattern",
            )
        pattern, name = fields[0], fields[1].removesuffix(_TRANSPOSED)
        taken = matching(tensors, pattern, name)
        if name != fields[1]:
            taken = {ours: value.T for ours, value in taken.items()}
        found |= taken
    return found


def matching(
    tensors: Mapping[str, Tensor], pattern: str, name: str
) -> dict[str, Tensor]:
    """Returns the tensors whose name a pattern matches, under another name."""
    parts = [re.escape(part) for part in pattern.split("*")]
    expression = re.compile("(.*)".join(parts))
    found = {}
    for old, value in tensors.items():
        match = expression.fullmatch(old)
        if match:
            stars = iter(match.groups())
            ours = re.sub(r"\*", lambda _: next(stars), name)  # noqa: B023 - used at once
            found[ours] = value
    return found
