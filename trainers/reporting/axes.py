"""Axes of charts: round ticks, values in few letters."""

import math
from typing import NamedTuple

_UNITS = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))  # from where, of what


class Axis(NamedTuple):
    """Where values lie on a chart.

    Attributes:
        low: Value at one end.
        high: At the other, above it.
        ticks: Values that are written, within.
        is_log: Whether equal factors, not differences, are equally far apart.
    """

    low: float
    high: float
    ticks: list[float]
    is_log: bool = False

    def place(self, value: float) -> float:
        """Returns where a value lies: 0 at the low end, 1 at the high one."""
        if self.is_log:
            whole = math.log(self.high / self.low)
            return math.log(max(value, self.low) / self.low) / whole
        return (value - self.low) / (self.high - self.low)


def linear(low: float, high: float, *, count: int = 5) -> Axis:
    """Returns an axis with about `count` ticks at round values, one at either end.

    >>> linear(0, 7.3).ticks
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    if high <= low:
        low, high = (low - abs(low) / 2, low + abs(low) / 2) if low else (0.0, 1.0)
    rough = (high - low) / (count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * of for of in (1, 2, 5, 10) if power * of >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [_tidy(number * step, step) for number in range(first, last + 1)]
    return Axis(ticks[0], ticks[-1], ticks)


def tight(low: float, high: float, *, count: int = 5) -> Axis:
    """Returns an axis that ends where the values do, with the ticks in between.

    >>> tight(100, 2400)
    Axis(low=100, high=2400, ticks=[1000.0, 2000.0], is_log=False)
    """
    round_one = linear(low, high, count=count)
    if high <= low:
        return round_one
    ticks = [tick for tick in round_one.ticks if low <= tick <= high]
    return Axis(low, high, ticks)


def logarithmic(low: float, high: float) -> Axis:
    """Returns an axis over positive values, a tick at each power of ten or more.

    >>> logarithmic(0.03, 2).ticks
    [0.01, 0.1, 1.0, 10.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    every = -(-(last - first) // 5)
    ticks = [float(f"1e{power}") for power in range(first, last + 1, every)]
    return Axis(float(f"1e{first}"), float(f"1e{last}"), ticks, is_log=True)


def told(value: float) -> str:
    """Returns a value in few letters.

    >>> [told(one) for one in (0, 1.5e-5, 0.00025, 1.4767, 512, 24000, 2093568)]
    ['0', '1.5e-5', '0.00025', '1.477', '512', '24k', '2.09M']
    >>> [told(one) for one in (9999.7, 999_700, 999_999_999, 1.2e9)]
    ['10k', '1M', '1G', '1.2G']
    """
    size = abs(value)
    for least, unit, letter in _UNITS:
        if float(f"{size:.3g}") >= least:  # rounded up it may be one of the next
            return f"{value / unit:.3g}{letter}"
    if size >= 1:
        return f"{value:,.4g}"
    if size >= 1e-4 or not size:
        return f"{value:.3g}"
    return f"{value:.3g}".replace("e-0", "e-")


def labels(axis: Axis) -> list[str]:
    """Returns what is written at the ticks, with as many digits as tell them apart.

    >>> labels(linear(10_000, 10_060))
    ['10.00k', '10.02k', '10.04k', '10.06k']
    >>> labels(linear(0, 2e-5))
    ['0', '0.5e-5', '1.0e-5', '1.5e-5', '2.0e-5']
    """
    ticks = axis.ticks
    if axis.is_log or len(ticks) < 2:
        return [told(tick) for tick in ticks]
    unit, suffix = _unit(max(map(abs, ticks)))
    digits = max(0, -math.floor(math.log10((ticks[1] - ticks[0]) / unit) + 1e-9))
    return [f"{tick / unit:,.{digits}f}{suffix}" if tick else "0" for tick in ticks]


def _unit(largest: float) -> tuple[float, str]:
    """Returns what values up to this are counted in, and how that is written."""
    if largest >= 1e6:
        return 1e6, "M"
    if largest >= 1e4:
        return 1e3, "k"
    if largest >= 1e-4:
        return 1.0, ""
    power = math.floor(math.log10(largest))
    return 10.0**power, f"e{power}"


def _tidy(value: float, step: float) -> float:
    """Returns a multiple of a step without the noise of the multiplication."""
    return round(value, max(0, 2 - math.floor(math.log10(step))))
