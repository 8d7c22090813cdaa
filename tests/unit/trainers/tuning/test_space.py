import itertools
import pathlib

import hypothesis
import pytest
from hypothesis import strategies

from pipeline import exits
from trainers import config
from trainers.tuning import space, space_file

_COMMITTED = pathlib.Path(__file__).parents[4] / "flags" / "tune_cmudict.toml"
_CONDITIONAL = """
[search.momentum]
low = 0.5
high = 0.9
step = 0.2
when = { optimizer = "sgd" }
[search.weight_decay]
choices = [0.1, 0.2]
when = { optimizer = ["sgd", "lion"] }
[search.optimizer]
choices = ["adam", "sgd", "lion"]
"""


def _read(tmp_path, text):
    path = tmp_path / "space.toml"
    path.write_text(text)
    return space_file.read(path, config.Seq2SeqConfig)


def test_the_committed_space_is_read():
    found = space_file.read(_COMMITTED, config.Seq2SeqConfig)
    assert found.fixed["num_steps"] == 200
    names = [one.name for one in found.parameters]
    assert names.index("optimizer") < names.index("weight_decay")


def test_ranges_have_the_type_of_their_flag(tmp_path):
    text = "[search.learning_rate]\nlow = 1\nhigh = 2\n[search.d_ff]\nlow=8\nhigh=9\n"
    rate, width = _read(tmp_path, text).parameters
    assert rate.ends() == (1.0, 2.0)
    assert not rate.is_int
    assert width.ends() == (8, 9)
    assert (width.is_int, width.step) == (True, 1)


def test_a_parameter_is_drawn_only_where_its_condition_holds(tmp_path):
    found = _read(tmp_path, _CONDITIONAL)
    assert found.parameters[0].name == "optimizer"  # before what depends on it
    for optimizer, used in (
        ("adam", {"optimizer"}),
        ("lion", {"optimizer", "weight_decay"}),
        ("sgd", {"optimizer", "weight_decay", "momentum"}),
    ):
        values = found.drawn(
            lambda one, chosen=optimizer: (
                chosen if one.name == "optimizer" else one.points()[0]
            )
        )
        assert values.keys() == used


def test_a_grid_has_every_combination_once(tmp_path):
    grid = _read(tmp_path, _CONDITIONAL).grid()
    assert len(grid) == 1 + 3 * 2 + 2  # adam; momentum x weight_decay; lion
    assert all(one != other for one, other in itertools.combinations(grid, 2))
    assert {one.get("momentum") for one in grid} == {None, 0.5, 0.7, 0.9}


def test_a_grid_refuses_a_range_without_steps(tmp_path):
    found = _read(tmp_path, "[search.learning_rate]\nlow = 1e-3\nhigh = 1e-2\n")
    with pytest.raises(exits.Refusal, match="search.learning_rate.*add step"):
        found.grid()


def test_probes_put_a_value_where_it_is_used(tmp_path):
    probes = dict(_read(tmp_path, _CONDITIONAL).probes())
    assert probes["search.momentum: 0.9"] == {"optimizer": "sgd", "momentum": 0.9}


def test_given_values_are_within_or_not(tmp_path):
    found = _read(tmp_path, _CONDITIONAL)
    sgd = {"optimizer": "sgd", "momentum": 0.7, "weight_decay": 0.1}
    assert found.within({**sgd, "seed": 1}) == sgd
    assert found.within({**sgd, "momentum": 0.6}) is None  # between two steps
    assert found.within({**sgd, "momentum": 1.1}) is None
    assert found.within({"optimizer": "adam"}) == {"optimizer": "adam"}
    assert found.within({"optimizer": "adafactor"}) is None


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(
    low=strategies.integers(0, 50),
    width=strategies.integers(0, 50),
    step=strategies.integers(1, 20),
)
def test_points_of_a_range_are_held_by_it_and_reach_its_end(low, width, step):
    one = space.Parameter("d_ff", (), low, low + width, step, is_int=True)
    points = one.points()
    assert all(one.holds(point) for point in points)
    assert points[0] == low
    assert low + width - step < points[-1] <= low + width


def test_lines_are_what_a_flagfile_says():
    values = {"learning_rate": 2e-3, "xla": False, "optimizer": "sgd", "d_ff": 8}
    assert space.lines(values) == [
        *("--learning_rate=0.002", "--xla=false", "--optimizer=sgd", "--d_ff=8")
    ]


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        (
            "[search.learnin_rate]\nlow=1\nhigh=2",
            "search.learnin_rate",
            "learning_rate",
        ),
        ("[search.d_ff]\nlow=1.5\nhigh=2", "search.d_ff.low", "1.5 is not an integer"),
        ("[search.d_ff]\nlow=true\nhigh=2", "search.d_ff.low", "not an integer"),
        ("[search.d_ff]\nlow=3\nhigh=2", "search.d_ff.low", "above high"),
        ("[search.d_ff]\nlow=3", "search.d_ff", "has no high"),
        ("[search.d_ff]\nlow=1\nhigh=2\nstep=0", "search.d_ff.step", "above 0"),
        ("[search.d_ff]\nlow=0\nhigh=2\nlog=true", "search.d_ff.low", "above 0"),
        ("[search.d_ff]\nlow=1\nhigh=2\nlog=1", "search.d_ff.log", "not true or"),
        (
            "[search.d_ff]\nlow=1\nhigh=2\nlog=true\nstep=1",
            "search.d_ff.step",
            "does not go with log",
        ),
        ("[search.d_ff]\nlo=1\nhigh=2", "search.d_ff.lo", "is not one of low"),
        ("[search.d_ff]\nchoices=[]", "search.d_ff.choices", "at least one"),
        ("[search.d_ff]\nchoices=[true]", "search.d_ff.choices", "True is not a value"),
        ("[search.d_ff]\nchoices=[1,1]", "search.d_ff.choices", "twice"),
        ("[search.d_ff]\nchoices=[1,'a']", "search.d_ff.choices", "'a' is not a value"),
        ("[search.d_ff]\nchoices=[1]\nlow=1", "search.d_ff.low", "does not go"),
        ("[search.xla]\nlow=0\nhigh=1", "search.xla", "has no range"),
        ("[search.xla]\nchoices=[0]", "search.xla.choices", "want true or false"),
        ("[search.optimizer]\nchoices=['adm']", "search.optimizer", "one of adam"),
        ("[search.workdir]\nchoices=['a']", "search.workdir", "set by the study"),
        ("[search]\nd_ff = 3", "search.d_ff", "is no table"),
        ("[searches.d_ff]\nlow=1", "searches", "not known"),
        ("[fixed]\nseed=1", "search", "is missing"),
        ("[fixed]\nseed='1'\n[search.d_ff]\nchoices=[1]", "fixed.seed", "an integer"),
        ("[fixed]\nd_ff=1\n[search.d_ff]\nchoices=[1]", "fixed.d_ff", "searched too"),
        (
            "[search.d_ff]\nchoices=[1]\nwhen={seed=1}",
            "search.d_ff.when.seed",
            "add [search.seed]",
        ),
        (
            "[search.d_ff]\nchoices=[1]\nwhen={seed=3}\n[search.seed]\nchoices=[1]",
            "search.d_ff.when.seed",
            "never drawn",
        ),
        (
            "[search.d_ff]\nchoices=[1]\nwhen={seed=1}\n"
            "[search.seed]\nchoices=[1]\nwhen={d_ff=1}",
            "search.d_ff.when",
            "circle",
        ),
        ("search = [", "space.toml", "is not TOML"),
        (
            '[search.best_metric]\nchoices = ["loss", "bleu"]',
            "search.best_metric",
            "a study goes by one",
        ),
    ],
)
def test_a_bad_space_is_one_line_with_file_key_and_way_out(tmp_path, text, key, why):
    with pytest.raises(exits.Refusal) as refused:
        _read(tmp_path, text)
    assert refused.value.code == exits.BAD_DATA
    assert str(tmp_path / "space.toml") in str(refused.value)
    assert key in str(refused.value)
    assert why in str(refused.value)


def test_a_space_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(exits.Refusal, match="name a TOML file") as refused:
        space_file.read(tmp_path / "none.toml", config.Seq2SeqConfig)
    assert refused.value.code == exits.MISSING_INPUT
