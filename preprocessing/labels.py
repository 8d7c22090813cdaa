"""Labels of `--task=labels`: from what stands in a column to the id of a class."""

import json
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pipeline import exits
from preprocessing import config

_SUM_TOLERANCE = 1e-3
_MOST_DIGITS = 640  # of a number that Python reads in any case; longer ones are text


class Label(NamedTuple):
    """The class of a text.

    Attributes:
        id: Of the class; of the likeliest one where there are shares.
        shares: Of each class, with the sum 1; empty for a plain label.
    """

    id: int
    shares: tuple[float, ...]


class UnknownLabelError(ValueError):
    """A label that training did not have; the message names it."""


class Labels:
    """The classes of a data directory."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        renamed: dict[str, str] | None = None,
        soft: bool = False,
    ) -> None:
        """Takes what a column is read by.

        Args:
            names: Of the classes, by id.
            renamed: What `renaming` returns.
            soft: Whether a column holds a share of each class.
        """
        self.names = tuple(names)
        self._ids = {name: index for index, name in enumerate(self.names)}
        self._renamed, self._soft = renamed, soft

    def read(self, text: str) -> Label:
        """Returns the label that a column holds.

        Raises:
            UnknownLabelError: If there is no such class.
            ValueError: If shares were asked for and this is something else.
        """
        if self._soft:
            shares = self._shares(text)
            return Label(shares.index(max(shares)), shares)
        name = rename(text, self._renamed)
        if name not in self._ids:
            raise UnknownLabelError(f"{name!r} is none of the {len(self.names)} labels")
        return Label(self._ids[name], ())

    def _shares(self, text: str) -> tuple[float, ...]:
        content = _numbers(text)
        if isinstance(content, dict):
            if unknown := sorted(content.keys() - self._ids.keys()):
                raise UnknownLabelError(f"{unknown[0]!r} is not in --label_names")
            content = [content.get(name, 0.0) for name in self.names]
        if not all(isinstance(share, (int, float)) for share in content):
            raise ValueError(f"want numbers, got {text!r}")
        shares = tuple(content)
        if len(shares) != len(self.names) or not all(
            0 <= share <= 1 for share in shares
        ):
            raise ValueError(f"want {len(self.names)} shares in [0, 1], got {text!r}")
        if not math.isclose(sum(shares), 1, abs_tol=_SUM_TOLERANCE):
            raise ValueError(f"shares must sum to 1, got {text!r}")
        return tuple(map(float, shares))


def _numbers(text: str) -> Any:
    """Returns numbers that blanks or commas part, or what else JSON can say.

    Raises:
        ValueError: If a text is neither.
    """
    if text.lstrip()[:1] not in ("{", "["):
        return [float(part) for part in text.replace(",", " ").split()]
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("want numbers, got lists inside lists") from None


def renaming(task: config.TaskConfig) -> dict[str, str] | None:
    """Returns old name -> new name, None where labels keep their names.

    Raises:
        exits.Refusal: If a label map is a file that cannot be read as one.
    """
    entries = task.label_map
    if not entries:
        return None
    file = file_of(task)
    if file is None:
        pairs = [entry.partition("=")[::2] for entry in entries]
        lacking = [old for old, new in pairs if not new]
        where = "--label_map"
    else:
        path = pathlib.Path(file)
        if not path.is_file():
            raise exits.Refusal(
                exits.MISSING_INPUT,
                f"--label_map={path}: no such file; or write OLD=NEW,...",
            )
        try:
            text = path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise exits.Refusal(
                exits.BAD_DATA, f"--label_map={path}: is not UTF-8 ({error.reason})"
            ) from None
        lines = [line for line in text.split("\n") if line]
        pairs = [line.rstrip("\r").partition("\t")[::2] for line in lines]
        lacking = [old for old, new in pairs if not new]
        where = f"--label_map={path}"
    if lacking:
        raise exits.Refusal(exits.BAD_DATA, f"{where}: {lacking[0]!r} has no new name")
    return {old.strip(): new.strip() for old, new in pairs}


def file_of(task: config.TaskConfig) -> str | None:
    """Returns the file that `--label_map` names, None where it has none."""
    entries = task.label_map
    return entries[0] if len(entries) == 1 and "=" not in entries[0] else None


def rename(text: str, renamed: dict[str, str] | None) -> str:
    """Returns the name of the class that a column holds.

    Raises:
        UnknownLabelError: If the label map does not have it.
    """
    name = text.strip()
    if renamed is None:
        return name
    if name not in renamed:
        raise UnknownLabelError(f"--label_map does not have {name!r}")
    return renamed[name]


def in_order(names: Iterable[str]) -> list[str]:
    """Returns label names in the order of their ids: numbers by value, then text."""

    def key(name: str) -> tuple[bool, int, str]:
        digits = name.removeprefix("-")
        is_number = digits.isdecimal() and len(digits) <= _MOST_DIGITS
        return (not is_number, int(name) if is_number else 0, name)

    return sorted(names, key=key)
