import dataclasses

import pytest

from pipeline import knobs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = knobs.knob(1, "A size.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner
    path: str = knobs.knob("x", "A path.", may_change=True)


def test_what_a_resume_may_change_is_not_among_the_fixed_knobs():
    assert knobs.fixed_leaves(Outer(inner=Inner(size=3))) == {"size": 3}


def test_a_knob_was_chosen_if_it_has_not_its_default():
    assert knobs.chosen(Outer(inner=Inner(size=3))) == []
    assert knobs.chosen(Outer(inner=Inner(), path="y")) == ["path"]


def test_a_knob_needs_a_help_text():
    with pytest.raises(ValueError, match="help"):
        knobs.knob(1)


def test_the_defaults_of_fixed_knobs_are_those_of_the_dataclass():
    assert knobs.defaults(Outer(inner=Inner(size=3))) == {"size": 1}
