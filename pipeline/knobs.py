"""How a config field is declared: default, help, unit and what a resume may change.

A knob is written once, as a field of a frozen dataclass. The flag of the same name is
derived from it (`flags/binding.py`), so help, default and validation have one home.
"""

import dataclasses
import operator
import re
import typing
from collections.abc import Collection, Sequence
from typing import Any

HELP = "help"
CHOICES = "choices"
MAY_CHANGE = "may_change"
MISSING = dataclasses.MISSING


def knob(
    default: Any = dataclasses.MISSING,
    help_text: str = "",
    *,
    choices: Sequence[str] | None = None,
    may_change: bool = False,
) -> Any:
    """Returns a dataclass field that becomes a flag of the same name.

    Args:
        default: The value when the flag is not given. Without one the flag is required.
        help_text: One sentence for `--help`, with the unit.
        choices: The values allowed, if they can be listed.
        may_change: Whether a run may be resumed under another value: true for what
            cannot change a weight, such as paths and log intervals.
    """
    if not help_text:
        raise ValueError("a knob needs a help text")
    metadata = {HELP: help_text, CHOICES: choices, MAY_CHANGE: may_change}
    return dataclasses.field(default=default, metadata=metadata)


def fixed_leaves(config: Any) -> dict[str, Any]:
    """Returns the knobs that a resumed run must find unchanged, by name, as in JSON."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            values.update(fixed_leaves(value))
        elif not field.metadata[MAY_CHANGE]:
            values[field.name] = list(value) if isinstance(value, tuple) else value
    return values


def defaults(config: Any) -> dict[str, Any]:
    """Returns the default of every knob in `fixed_leaves` that has one, by name."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            values.update(defaults(value))
        elif not field.metadata[MAY_CHANGE] and field.default is not MISSING:
            default = field.default
            values[field.name] = (
                list(default) if isinstance(default, tuple) else default
            )
    return values


def names(config: Any) -> set[str]:
    """Returns the names of a config's own knobs, and of its parts."""
    return {field.name for field in dataclasses.fields(config)}


def chosen(config: Any) -> list[str]:
    """Returns the names of a config's own knobs that do not have their defaults."""
    return [
        field.name
        for field in dataclasses.fields(config)
        if field.default is not MISSING and getattr(config, field.name) != field.default
    ]


def given_beside(config: Any, read: Collection[str]) -> list[str]:
    """Returns own knobs without their defaults and not in `read`, as `--name=value`."""
    return [
        f"--{name}={text_of(getattr(config, name))}"
        for name in chosen(config)
        if name not in read
    ]


def require_positive(config: Any, *names: str) -> None:
    """Raises ValueError, with flag and value, for own knobs that are not above 0."""
    for name in names:
        if not (value := getattr(config, name)) > 0:
            raise ValueError(f"--{name} must be positive, got {value}")


def require_at_least(config: Any, least: float, *names: str) -> None:
    """Raises ValueError, with flag and value, for own knobs that are below `least`."""
    for name in names:
        if not (value := getattr(config, name)) >= least:
            raise ValueError(f"--{name} must be at least {least}, got {value}")


def require_in(config: Any, interval: str, *names: str) -> None:
    """Raises ValueError, with flag and value, for own knobs outside an interval.

    Args:
        config: Whose knobs they are.
        interval: As mathematicians write it: `[0, 1)` holds 0 and not 1. A number may
            be a power, `2**31`.
        names: Of the knobs.
    """
    parts = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", interval)
    assert parts is not None, interval
    low, high = map(_number, parts.group(2, 3))
    above = operator.ge if parts[1] == "[" else operator.gt
    below = operator.le if parts[4] == "]" else operator.lt
    for name in names:
        value = getattr(config, name)
        if not (above(value, low) and below(value, high)):
            raise ValueError(f"--{name} must be in {interval}, got {value}")


def _number(text: str) -> float:
    base, _, power = text.partition("**")
    return float(base) ** int(power or 1)


def refuse_without_effect(config: Any, names: Sequence[str], needed: str) -> None:
    """Refuses knobs that were chosen though they would do nothing.

    Args:
        config: Whose own knobs they are.
        names: Of the knobs.
        needed: What they would need, such as `--head=classes`.

    Raises:
        ValueError: If one of them does not have its default.
    """
    for name in chosen(config):
        if name in names:
            value = text_of(getattr(config, name))
            raise ValueError(
                f"--{name}={value} needs {needed}; leave the flag out without it"
            )


def leaves(config_class: type) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """Returns every knob of a config class and its parts: field and type, by name."""
    hints = typing.get_type_hints(config_class)
    found: dict[str, tuple[dataclasses.Field[Any], Any]] = {}
    for field in dataclasses.fields(config_class):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind):
            found.update(leaves(typing.cast(type, kind)))
        else:
            found[field.name] = (field, kind)
    return found


def text_of(value: Any) -> str:
    """Returns a value as a flagfile has it; nothing where it is not set.

    >>> [text_of(one) for one in (None, True, 1e-9, ("a", "b"), 8)]
    ['', 'true', '1e-09', 'a,b', '8']
    """
    if value in (None, "", ()):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)
