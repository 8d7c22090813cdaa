"""Reads the space of a study from TOML; see `space`.

A file that cannot be meant is refused in one line, with the file and the key.
"""

import difflib
import math
import pathlib
import tomllib
import types
import typing
from typing import Any, NoReturn

from pipeline import exits, knobs
from trainers.tuning import space

_KEYS = ("low", "high", "step", "log", "choices", "when")
_TABLES = ("fixed", "search")
_OURS = ("workdir",)  # set by the study
_JUDGED = "best_metric"  # what trials are compared by, so the same for all


def read(path: pathlib.Path, config_class: type) -> space.Space:
    """Returns the space of a file.

    Args:
        path: A TOML file.
        config_class: Whose knobs may be varied.

    Raises:
        exits.Refusal: If it cannot be read, or asks for what cannot be.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise exits.Refusal(
            exits.MISSING_INPUT, f"--space={path}: {reason}; name a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise exits.Refusal(exits.BAD_DATA, f"{path}: is not TOML: {error}") from None
    reader = _Reader(path, knobs.leaves(config_class))
    reader.check_tables(content)
    fixed = {
        name: reader.value(f"fixed.{name}", name, value)
        for name, value in content.get("fixed", {}).items()
    }
    search = content["search"]
    for name in fixed.keys() & search.keys():
        space.refuse(path, f"fixed.{name}", "is searched too; leave one of the two out")
    parameters = [reader.parameter(name, table) for name, table in search.items()]
    return space.Space(path, fixed, _ordered(path, parameters))


class _Reader:
    """Turns TOML into parameters, for the knobs of a program."""

    def __init__(self, path: pathlib.Path, known: dict[str, tuple[Any, Any]]) -> None:
        self._path, self._known = path, known

    def check_tables(self, content: dict[str, Any]) -> None:
        for name, table in content.items():
            if name not in _TABLES:
                self._refuse(name, "is not known; there are [fixed] and [search.FLAG]")
            if not isinstance(table, dict):
                self._refuse(name, f"is no table; write [{name}] in a line of its own")
        if not content.get("search"):
            self._refuse("search", "is missing; write [search.FLAG] for what is varied")

    def parameter(self, name: str, table: Any) -> space.Parameter:
        """Returns a parameter of its table."""
        key = f"search.{name}"
        if not isinstance(table, dict):
            self._refuse(key, f"is no table; write [{key}], and low and high below it")
        self._kinds(key, name)
        if name == _JUDGED:
            self._refuse(key, "a study goes by one; set --metric, or it under [fixed]")
        for other in table:
            if other not in _KEYS:
                self._refuse(f"{key}.{other}", f"is not one of {', '.join(_KEYS)}")
        when = self._when(f"{key}.when", table.get("when", {}))
        if "choices" in table:
            return space.Parameter(name, self._choices(key, name, table), when=when)
        return self._range(key, name, table)._replace(when=when)

    def value(self, key: str, name: str, value: Any) -> space.Scalar:
        """Returns a value of a flag, if it is one."""
        kinds = self._kinds(key, name)
        field = self._known[name][0]
        listed = field.metadata[knobs.CHOICES]
        if isinstance(value, bool):
            fits = bool in kinds
        elif isinstance(value, int):
            fits = bool({int, float} & kinds)
            value = float(value) if fits and int not in kinds else value
        elif isinstance(value, float):
            fits = float in kinds and math.isfinite(value)
        elif isinstance(value, str):
            fits = bool({str, tuple} & kinds) and (not listed or value in listed)
        else:
            fits = False
        if not fits:
            self._refuse(
                key, f"{value!r} is not a value of --{name}; want {self._want(name)}"
            )
        return typing.cast(space.Scalar, value)

    def _choices(self, key: str, name: str, table: Any) -> tuple[space.Scalar, ...]:
        for other in ("low", "high", "step", "log"):
            if other in table:
                self._refuse(f"{key}.{other}", "does not go with choices; leave it out")
        found = table["choices"]
        if not isinstance(found, list) or not found:
            self._refuse(f"{key}.choices", "want a list of at least one value, [a, b]")
        values = tuple(self.value(f"{key}.choices", name, one) for one in found)
        if len(set(values)) < len(values):
            self._refuse(f"{key}.choices", "has a value twice; leave one out")
        return values

    def _range(self, key: str, name: str, table: Any) -> space.Parameter:
        kinds = self._kinds(key, name)
        if bool in kinds or not {int, float} & kinds:
            self._refuse(key, f"--{name} has no range; want choices = [...]")
        for end in ("low", "high"):
            if end not in table:
                self._refuse(key, f"has no {end}; want low and high, or choices")
        is_int = int in kinds
        low, high = (
            self._number(f"{key}.{end}", table[end], is_int) for end in ("low", "high")
        )
        if low > high:
            self._refuse(f"{key}.low", f"{low} is above high = {high}; swap them")
        is_log = table.get("log", False)
        if not isinstance(is_log, bool):
            self._refuse(f"{key}.log", f"{is_log!r} is not true or false")
        step = table.get("step")
        if step is not None:
            step = self._number(f"{key}.step", step, is_int)
            if step <= 0:
                self._refuse(f"{key}.step", f"{step} must be above 0")
        if is_log and low <= 0:
            self._refuse(f"{key}.low", f"{low} must be above 0 where log = true")
        if is_log and step is not None:
            self._refuse(f"{key}.step", "does not go with log = true; leave one out")
        if is_int and step is None:
            step = 1
        return space.Parameter(name, (), low, high, step, is_int, is_log)

    def _number(self, key: str, value: Any, is_int: bool) -> float:
        wanted = int if is_int else (int, float)
        if isinstance(value, bool) or not isinstance(value, wanted):
            self._refuse(
                key, f"{value!r} is not {'an integer' if is_int else 'a number'}"
            )
        if not math.isfinite(value):
            self._refuse(key, f"{value} must be finite")
        return typing.cast(float, value if is_int else float(value))

    def _when(self, key: str, table: Any) -> dict[str, tuple[space.Scalar, ...]]:
        if not isinstance(table, dict):
            self._refuse(key, 'want { FLAG = VALUE }, as in { optimizer = "sgd" }')
        found = {}
        for name, given in table.items():
            values = given if isinstance(given, list) else [given]
            if not values:
                self._refuse(f"{key}.{name}", "want at least one value")
            found[name] = tuple(
                self.value(f"{key}.{name}", name, one) for one in values
            )
        return found

    def _kinds(self, key: str, name: str) -> set[Any]:
        """Returns the types of a flag; refuses what is none, or not to be varied."""
        if name in _OURS:
            self._refuse(key, f"--{name} is set by the study; leave it out")
        if name not in self._known:
            close = difflib.get_close_matches(name, self._known, n=1)
            hint = (
                f"did you mean {close[0]}?"
                if close
                else "--help of the trainer lists them"
            )
            self._refuse(key, f"no such flag; {hint}")
        kind = self._known[name][1]
        kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        return {typing.get_origin(one) or one for one in kinds}

    def _want(self, name: str) -> str:
        field, _ = self._known[name]
        if field.metadata[knobs.CHOICES]:
            return "one of " + ", ".join(field.metadata[knobs.CHOICES])
        words = {int: "an integer", float: "a number", bool: "true or false"}
        kinds = self._kinds(name, name)
        return next((word for one, word in words.items() if one in kinds), "a text")

    def _refuse(self, key: str, why: str) -> NoReturn:
        space.refuse(self._path, key, why)


def _ordered(
    path: pathlib.Path, parameters: list[space.Parameter]
) -> list[space.Parameter]:
    """Returns parameters after those on which they depend."""
    by_name = {one.name: one for one in parameters}
    for one in parameters:
        for other, allowed in one.when.items():
            key = f"search.{one.name}.when.{other}"
            if other not in by_name:
                space.refuse(
                    path, key, f"{other} is not searched; add [search.{other}]"
                )
            for value in allowed:
                if not by_name[other].holds(value):
                    space.refuse(path, key, f"{value!r} is never drawn for {other}")
    waiting, done = list(parameters), dict[str, space.Parameter]()
    while waiting:
        ready = [one for one in waiting if one.when.keys() <= done.keys()]
        if not ready:
            names = ", ".join(one.name for one in waiting)
            space.refuse(
                path, f"search.{waiting[0].name}.when", f"goes in a circle: {names}"
            )
        done |= {one.name: one for one in ready}
        waiting = [one for one in waiting if one.name not in done]
    return list(done.values())
