"""The database of a study: begun, taken up, refused, shown."""

import pathlib

import optuna
import pytest

from pipeline import exits
from tests import programs
from trainers.tuning import outcome, space, study, study_page

_SPACE = space.Space(
    pathlib.Path("s.toml"),
    {"num_steps": 9},
    [
        space.Parameter("learning_rate", low=1e-3, high=1e-1, is_log=True),
        space.Parameter("d_ff", low=8, high=32, step=8, is_int=True),
        space.Parameter("dropout_rate", low=0.0, high=0.4, step=0.1),
        space.Parameter("optimizer", ("adam", "sgd")),
    ],
)
_ASKED = study.Asked("seq2seq", "token_accuracy", ["--seed=1"], _SPACE)
_SEARCH = study.Search("random", "none", 5, 0, 1)


def _begin(tmp_path, *, asked=_ASKED, search=_SEARCH):
    return study.begin(tmp_path / "study", asked, search)


def test_a_study_goes_on_and_draws_other_values(tmp_path):
    first = _begin(tmp_path)
    trial = first.ask()
    before = study.suggested(trial, _SPACE)
    first.tell(trial, 0.5)
    again = _begin(tmp_path)
    assert study.num_taken(again) == 1
    assert study.best(again).params["learning_rate"] == before["learning_rate"]
    assert study.suggested(again.ask(), _SPACE) != before


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"metric": "loss"}, "--metric"),
        ({"base": ["--seed=2"]}, "flags of every trial"),
        ({"space": _SPACE._replace(fixed={})}, "--space"),
    ],
)
def test_a_study_that_was_begun_otherwise_is_refused(tmp_path, changed, named):
    _begin(tmp_path)
    with pytest.raises(exits.Refusal, match=f"other {named};") as refused:
        _begin(tmp_path, asked=_ASKED._replace(**changed))
    assert refused.value.code == exits.MISMATCH


def test_values_lie_where_the_space_says_and_have_its_types(tmp_path):
    current = _begin(tmp_path)
    for _ in range(20):
        values = study.suggested(current.ask(), _SPACE)
        assert all(one.holds(values[one.name]) for one in _SPACE.parameters)
        assert isinstance(values["d_ff"], int)
        assert len(str(values["dropout_rate"])) <= 3  # 0.3, not 0.30000000000000004


def test_what_is_lined_up_comes_first_and_once(tmp_path):
    current = _begin(tmp_path)
    wanted = {"learning_rate": 0.05, "d_ff": 16, "dropout_rate": 0.1}
    wanted |= {"optimizer": "sgd"}
    for _ in range(2):
        study.line_up(current, [wanted])
    assert study.num_taken(current) == 0
    assert study.suggested(current.ask(), _SPACE) == wanted
    assert study.suggested(current.ask(), _SPACE) != wanted


@pytest.mark.parametrize(("metric", "best"), [("loss", 0.1), ("bleu", 0.9)])
def test_the_best_is_the_least_loss_or_the_greatest_score(tmp_path, metric, best):
    current = _begin(tmp_path, asked=_ASKED._replace(metric=metric))
    for value in (0.5, 0.1, 0.9):
        trial = current.ask()
        study.suggested(trial, _SPACE)
        current.tell(trial, value)
    assert study.best(current).value == best
    table = outcome.table(current).split("\n")
    assert f"{best:.4f}" in table[1]


@pytest.mark.parametrize("count", [0, 1, 6])
def test_a_study_of_any_size_is_shown(tmp_path, count):
    current = _begin(tmp_path)
    for number in range(count):
        trial = current.ask()
        values = study.suggested(trial, _SPACE)
        trial.report(0.1, 5)
        current.tell(trial, values["learning_rate"] + number / 1000)
    failed = current.ask()
    failed.set_user_attr(study.WHY, "<b>exit code 70</b>")
    current.tell(failed, state=study.States.FAIL)
    shares = outcome.importances(current)
    assert set(shares) == (set(values) if count == 6 else set())
    text = study_page.write(current, shares, tmp_path).read_text()
    assert "&lt;b&gt;exit code 70" in text
    assert "exit code 70" in outcome.table(current)
    assert outcome.result(current, shares)["trials"]["fail"] == 1


def test_nothing_to_show_is_refused(tmp_path):
    with pytest.raises(exits.Refusal, match="nothing to show") as refused:
        study.load(tmp_path)
    assert refused.value.code == exits.MISSING_INPUT


def test_a_study_that_was_killed_while_it_began_has_nothing_to_show(tmp_path):
    path = study.path_of(tmp_path)
    path.touch()  # killed before the study was in it
    with pytest.raises(exits.Refusal, match="before its first trial"):
        study.load(tmp_path)
    path.unlink()
    storage = study._storage(tmp_path)
    optuna.create_study(storage=storage, study_name=study._NAME)
    with pytest.raises(exits.Refusal, match="before its first trial") as refused:
        study.load(tmp_path)  # before what was asked stood there
    assert refused.value.code == exits.MISSING_INPUT
    assert study.begin(tmp_path, _ASKED, _SEARCH).user_attrs


def test_a_damaged_database_is_bad_data(tmp_path):
    study.path_of(tmp_path).write_bytes(b"garbage" * 1000)
    with (
        pytest.raises(exits.Refusal, match="study.db: cannot be read") as refused,
        study.readable(tmp_path),
    ):
        study.load(tmp_path)
    assert refused.value.code == exits.BAD_DATA


LIMITED = """
import pathlib, resource, signal, sys
from pipeline import exits
from tests.unit.trainers.tuning import test_study
from trainers.tuning import study
folder = pathlib.Path(sys.argv[1])
current = study.begin(folder, test_study._ASKED, test_study._SEARCH)
size = study.path_of(folder).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def fill():
    with study.readable(folder):
        for _ in range(500):
            current.ask()
sys.exit(exits.run(fill))
"""


@pytest.mark.long
def test_a_full_disk_is_exit_code_74(tmp_path):
    """FAULTS 3."""
    done = programs.run_code(LIMITED, str(tmp_path))
    assert done.returncode == exits.DISK, done.stderr
    assert "study.db: cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
