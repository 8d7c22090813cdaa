"""What a study may vary: flags with ranges or choices, from a TOML file.

    [fixed]                       what is the same in every trial
    num_steps = 300

    [search.learning_rate]        a range; log = true for equal factors
    low = 1e-3
    high = 1e-2
    log = true

    [search.optimizer]            or choices
    choices = ["adam", "sgd"]

    [search.momentum]             only used in trials where this holds
    low = 0.5
    high = 0.95
    step = 0.05
    when = { optimizer = "sgd" }

`space_file` reads it.
"""

import math
import pathlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from pipeline import exits, knobs

Scalar = bool | int | float | str
Values = dict[str, Scalar]
_DIGITS = 12  # of a multiple of a step


class Parameter(NamedTuple):
    """A flag that is varied.

    Attributes:
        name: Of the flag.
        choices: What it may be; empty for a range.
        low: Least value of a range.
        high: Greatest value.
        step: Between two values; None for any value, 1 for integers.
        is_int: Whether values are integers.
        is_log: Whether equal factors are equally likely.
        when: Other parameters, and the values of each under which this one is used.
    """

    name: str
    choices: tuple[Scalar, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    is_int: bool = False
    is_log: bool = False
    when: Mapping[str, tuple[Scalar, ...]] = types.MappingProxyType({})

    def holds(self, value: Any) -> bool:
        """Returns whether a value is one that may be drawn."""
        if self.choices:
            return value in self.choices
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-6)

    def is_used(self, values: Values) -> bool:
        """Returns whether the parameter counts beside values of those before it."""
        return all(values.get(other) in allowed for other, allowed in self.when.items())

    def ends(self) -> tuple[Scalar, ...]:
        """Returns the values that are most likely to be refused."""
        return self.choices or tuple(dict.fromkeys((self._typed(0), self._typed(1))))

    def points(self) -> tuple[Scalar, ...]:
        """Returns all values, or none where they cannot be counted."""
        if self.choices:
            return self.choices
        if self.step is None:
            return ()
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        values = [self.low + number * self.step for number in range(count)]
        return tuple(int(v) if self.is_int else round(v, _DIGITS) for v in values)

    def _typed(self, end: int) -> Scalar:
        value = self.high if end else self.low
        return int(value) if self.is_int else float(value)


class Space(NamedTuple):
    """What a study varies, and what it does not.

    Attributes:
        path: Of the file.
        fixed: Flags that are the same in every trial.
        parameters: Those that are varied, each after the ones that its `when` names.
    """

    path: pathlib.Path
    fixed: Values
    parameters: list[Parameter]

    def drawn(self, draw: Callable[[Parameter], Scalar]) -> Values:
        """Returns a value for each parameter that is used beside the others."""
        values: Values = {}
        for parameter in self.parameters:
            if parameter.is_used(values):
                values[parameter.name] = draw(parameter)
        return values

    def grid(self) -> list[Values]:
        """Returns every combination once, in the order of the file.

        Raises:
            exits.Refusal: With `BAD_DATA` if a range has no steps.
        """
        found: list[Values] = [{}]
        for parameter in self.parameters:
            points = parameter.points()
            if not points:
                refuse(
                    self.path,
                    f"search.{parameter.name}",
                    "a grid needs to know the values; add step, or list choices",
                )
            found = [
                {**values, **chosen}
                for values in found
                for chosen in (
                    [{parameter.name: point} for point in points]
                    if parameter.is_used(values)
                    else [{}]
                )
            ]
        return found

    def within(self, given: Mapping[str, Any]) -> Values | None:
        """Returns given flags as values of the parameters; None if one is outside."""
        values: Values = {}
        for parameter in self.parameters:
            if not parameter.is_used(values):
                continue
            value = given.get(parameter.name)
            if not parameter.holds(value):
                return None
            values[parameter.name] = typing.cast(Scalar, value)
        return values

    def probes(self) -> list[tuple[str, Values]]:
        """Returns values to try before anything starts: a key, and flags for it."""
        found = []
        for parameter in self.parameters:
            for value in parameter.ends():
                values = {**self._first_for(parameter), parameter.name: value}
                found.append((f"search.{parameter.name}: {told(value)}", values))
        return found

    def _first_for(self, parameter: Parameter) -> Values:
        """Returns values under which a parameter is used."""
        values: Values = {}
        by_name = {one.name: one for one in self.parameters}
        for other, allowed in parameter.when.items():
            values |= self._first_for(by_name[other])
            values[other] = allowed[0]
        return values


def lines(values: Values) -> list[str]:
    """Returns values as lines of a flagfile.

    >>> lines({"learning_rate": 0.002, "xla": True})
    ['--learning_rate=0.002', '--xla=true']
    """
    return [f"--{name}={told(value)}" for name, value in values.items()]


def told(value: Scalar) -> str:
    """Returns a value as a flagfile has it."""
    return knobs.text_of(value)


def refuse(path: pathlib.Path, key: str, why: str) -> NoReturn:
    """Ends with one line about a key of a space.

    Raises:
        exits.Refusal: With `BAD_DATA`.
    """
    raise exits.Refusal(exits.BAD_DATA, f"{path}: {key}: {why}")
