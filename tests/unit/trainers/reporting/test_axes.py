import math

import hypothesis
import pytest
from hypothesis import strategies

from trainers.reporting import axes

_VALUES = strategies.floats(-1e9, 1e9, allow_subnormal=False)


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(_VALUES, _VALUES)
def test_a_linear_axis_holds_its_values_between_its_ticks(one, other):
    low, high = min(one, other), max(one, other)
    hypothesis.assume(high - low > 1e-6 * max(abs(low), abs(high), 1e-6))
    axis = axes.linear(low, high)
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low <= low + slack
    assert axis.high >= high - slack
    assert 2 <= len(axis.ticks) <= 8
    assert axis.ticks == sorted(set(axis.ticks))


@pytest.mark.parametrize("value", [3.0, -2.0])
def test_a_single_value_lies_within_an_axis(value):
    axis = axes.linear(value, value)
    assert 0 < axis.place(value) < 1


def test_a_figure_that_is_always_0_lies_at_the_bottom():
    assert axes.linear(0, 0)[:2] == (0, 1)


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(
    strategies.floats(1e-9, 1e9), strategies.floats(1, 1e6, exclude_min=True)
)
def test_a_logarithmic_axis_puts_equal_factors_equally_far(low, factor):
    axis = axes.logarithmic(low, low * factor)
    steps = [axis.place(low * factor**k) for k in (0, 0.5, 1)]
    assert math.isclose(steps[1] - steps[0], steps[2] - steps[1], abs_tol=1e-6)
    assert -1e-6 <= steps[0] <= steps[2] <= 1 + 1e-6


def test_a_tight_axis_ends_where_its_values_end():
    axis = axes.tight(150, 1350)
    assert (axis.place(150), axis.place(1350)) == (0, 1)
    assert all(150 <= tick <= 1350 for tick in axis.ticks)


@hypothesis.settings(deadline=None)
@hypothesis.given(
    strategies.floats(-1e7, 1e7, allow_subnormal=False),
    strategies.floats(1e-6, 1e7, allow_subnormal=False),
)
def test_every_tick_is_written_otherwise_and_as_what_it_is(low, width):
    axis = axes.linear(low, low + width)
    if len(set(axis.ticks)) < len(axis.ticks):
        return  # narrower than numbers of this size are
    written = axes.labels(axis)
    assert len(set(written)) == len(written)
    step = axis.ticks[1] - axis.ticks[0]
    for label, tick in zip(written, axis.ticks, strict=True):
        number = label.replace(",", "").replace("M", "e6").replace("k", "e3")
        assert float(number) == pytest.approx(tick, abs=0.05 * step)
