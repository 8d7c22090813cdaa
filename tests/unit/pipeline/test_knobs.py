import dataclasses
import re
import types

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


def test_a_knob_that_would_do_nothing_is_refused_unless_it_has_its_default():
    knobs.refuse_without_effect(Inner(), ["size"], "--x")
    knobs.refuse_without_effect(Inner(size=3), ["other"], "--x")
    with pytest.raises(ValueError, match="^--size=3 needs --x; leave the flag out"):
        knobs.refuse_without_effect(Inner(size=3), ["size"], "--x")


def test_a_knob_needs_a_help_text():
    with pytest.raises(ValueError, match="help"):
        knobs.knob(1)


def test_defaults_are_as_in_json_as_the_values_are():
    """What an old checkpoint lacks is compared with what one was read from."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Several:
        names: tuple[str, ...] = knobs.knob(("bias", "scale"), "Names.")
        more: tuple[str, ...] = knobs.knob((), "More names.")

    assert knobs.defaults(Several()) == {"names": ["bias", "scale"], "more": []}
    assert knobs.defaults(Several()) == knobs.fixed_leaves(Several())


def test_the_defaults_of_fixed_knobs_are_those_of_the_dataclass():
    assert knobs.defaults(Outer(inner=Inner(size=3))) == {"size": 1}


@pytest.mark.parametrize(
    ("interval", "value", "fits"),
    [
        *(("[0, 1)", 0, True), ("[0, 1)", 1, False), ("[0, 1)", -0.1, False)),
        *(("(0, 1]", 0, False), ("(0, 1]", 1, True), ("(0, 1]", float("nan"), False)),
        *(("[0, 2**31)", 2**31 - 1, True), ("[0, 2**31)", 2**31, False)),
        ("[1, 0]", 1, False),
    ],
)
def test_an_interval_holds_its_ends_as_its_brackets_say(interval, value, fits):
    config = types.SimpleNamespace(share=value)
    if fits:
        knobs.require_in(config, interval, "share")
        return
    told = re.escape(f"--share must be in {interval}, got {value}")
    with pytest.raises(ValueError, match=told):
        knobs.require_in(config, interval, "share")


def test_counts_have_a_least_value():
    config = types.SimpleNamespace(one=1, none=0)
    knobs.require_positive(config, "one")
    knobs.require_at_least(config, 0, "none", "one")
    with pytest.raises(ValueError, match="--none must be positive, got 0"):
        knobs.require_positive(config, "one", "none")
    with pytest.raises(ValueError, match="--none must be at least 1, got 0"):
        knobs.require_at_least(config, 1, "one", "none")
