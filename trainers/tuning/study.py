"""A study: which values were tried, in a database that survives a kill."""

import contextlib
import json
import pathlib
import sqlite3
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, cast

import optuna
from sqlalchemy import exc

from pipeline import exits
from trainers import directions
from trainers.tuning import space as space_lib

DATABASE = "study.db"
_ASKED = "asked"  # what must be the same when a study goes on
_NAME = "study"
_DIGITS = 12  # of a multiple of a step
_WAIT_SECS = 60  # for a database that another process reads
FLAGS, BEST_STEP, SECS = "flags", "best_step", "secs"
WHY, CODE = "why", "code"  # of a trial that failed

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNWRITABLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
}

States = optuna.trial.TrialState


class Asked(NamedTuple):
    """What a study is.

    Attributes:
        trainer: `seq2seq` or `seq2vec`.
        metric: Of validation, without `valid_`.
        base: Flags that every trial begins with, as lines.
        space: What is varied.
    """

    trainer: str
    metric: str
    base: list[str]
    space: space_lib.Space

    def facts(self) -> dict[str, str]:
        """Returns what a study that goes on must find unchanged, as texts."""
        search = [
            {**one._asdict(), "when": dict(one.when)} for one in self.space.parameters
        ]
        return {
            "--trainer": self.trainer,
            "--metric": self.metric,
            "flags of every trial": " ".join(self.base),
            "--space": json.dumps([self.space.fixed, search]),
        }


class Search(NamedTuple):
    """How values are found.

    Attributes:
        sampler: `tpe`, `random` or `grid`.
        pruner: `median`, `halving` or `none`.
        startup_trials: Trials that are not pruned, and drawn at random.
        prune_after: Steps of a trial before which it is not pruned.
        seed: Of what is drawn.
    """

    sampler: str
    pruner: str
    startup_trials: int
    prune_after: int
    seed: int


def direction(metric: str) -> Literal["minimize", "maximize"]:
    """Returns what is good for a metric."""
    is_lower = metric in directions.LOWER_IS_BETTER
    return "minimize" if is_lower else "maximize"


def path_of(study_dir: pathlib.Path) -> pathlib.Path:
    """Returns the database of a study."""
    return study_dir / DATABASE


def begin(study_dir: pathlib.Path, asked: Asked, search: Search) -> optuna.Study:
    """Returns a study, new or as it was left.

    Raises:
        exits.Refusal: With `MISMATCH` if it was begun with other flags or space.
    """
    study_dir.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=_storage(study_dir),
        study_name=_NAME,
        direction=direction(asked.metric),
        load_if_exists=True,
    )
    before = study.user_attrs.get(_ASKED)
    facts = asked.facts()
    if before is None:
        study.set_user_attr(_ASKED, facts)
    differing = [name for name in facts if before and before.get(name) != facts[name]]
    if differing:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--study_dir={study_dir}: was begun with other {', '.join(differing)}; "
            "use what it was begun with, or another --study_dir",
        )
    # A sampler that begins anew would draw again what it drew before the kill.
    seed = search.seed + len(study.get_trials(deepcopy=False))
    study.sampler = _sampler(search, seed)
    study.pruner = _pruner(search)
    return study


def load(study_dir: pathlib.Path) -> optuna.Study:
    """Returns a study to look at.

    Raises:
        exits.Refusal: With `MISSING_INPUT` if there is none.
    """
    if not path_of(study_dir).is_file():
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"--study_dir={study_dir}: has no {DATABASE}, so there is nothing to show",
        )
    nothing = exits.Refusal(
        exits.MISSING_INPUT,
        f"--study_dir={study_dir}: was stopped before its first trial, so there is "
        "nothing to show; the command that began it goes on",
    )
    try:
        found = optuna.load_study(study_name=_NAME, storage=_storage(study_dir))
    except KeyError:  # Optuna's for a study that is not in the database
        raise nothing from None
    if _ASKED not in found.user_attrs:
        raise nothing
    return found


@contextlib.contextmanager
def readable(study_dir: pathlib.Path) -> Iterator[None]:
    """Makes a refusal of what befalls the database while the block runs.

    Raises:
        exits.Refusal: With `DISK` if it cannot be written, `BAD_DATA` if it is damaged.
    """
    try:
        yield
    except (exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        code = _sqlite_code(error)
        if code is None:
            raise
        path = path_of(study_dir)
        if code in _DAMAGED:
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{path}: cannot be read, it is damaged; put a copy of it back, or use "
                "another --study_dir",
            ) from None
        raise exits.Refusal(
            exits.DISK,
            f"{path}: cannot be written ({_root_cause(error)}); make room, and the "
            "same command goes on",
        ) from None


def _sqlite_code(error: BaseException) -> int | None:
    """Returns SQLite's primary code of an error it is behind, if it is one of ours."""
    inner = _root_cause(error)
    code = getattr(inner, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    return primary if primary in _DAMAGED | _UNWRITABLE else None


def _root_cause(error: BaseException) -> BaseException:
    """Returns what an error began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def metric_of(study: optuna.Study) -> str:
    """Returns the metric of a study."""
    return str(study.user_attrs[_ASKED]["--metric"])


def line_up(study: optuna.Study, wanted: list[dict[str, Any]]) -> None:
    """Has some values tried first, each once."""
    for values in wanted:
        study.enqueue_trial(values, skip_if_exists=True)


def suggested(trial: optuna.Trial, space: space_lib.Space) -> space_lib.Values:
    """Returns the values of a trial, drawn now or before."""

    def draw(one: space_lib.Parameter) -> space_lib.Scalar:
        if one.choices:
            value = trial.suggest_categorical(one.name, one.choices)
            return cast(space_lib.Scalar, value)
        if one.is_int:
            step = 1 if one.is_log else int(one.step or 1)
            ends = int(one.low), int(one.high)
            return trial.suggest_int(one.name, *ends, step=step, log=one.is_log)
        ends_of = one.low, one.high
        drawn = trial.suggest_float(one.name, *ends_of, step=one.step, log=one.is_log)
        return round(drawn, _DIGITS) if one.step else drawn  # 0.1, not 0.1000…01

    return space.drawn(draw)


def interrupted(study: optuna.Study) -> list[optuna.Trial]:
    """Returns the trials that were running when the study was killed."""
    left = study.get_trials(deepcopy=False, states=(States.RUNNING,))
    # The class is public, its constructor is not meant for users: there is no other way
    # to go on with a trial that the storage holds.
    return [optuna.Trial(study, one._trial_id) for one in left]


def num_taken(study: optuna.Study) -> int:
    """Returns how many trials were begun, ended ones included."""
    every = study.get_trials(deepcopy=False)
    return sum(one.state != States.WAITING for one in every)


def ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Returns the trials that are over."""
    return [one for one in study.get_trials(deepcopy=False) if one.state.is_finished()]


def best(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """Returns the best trial that came to its end, if any did."""
    if not study.get_trials(deepcopy=False, states=(States.COMPLETE,)):
        return None
    return study.best_trial


def _storage(study_dir: pathlib.Path) -> optuna.storages.RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.storages.RDBStorage(
        f"sqlite:///{path_of(study_dir).resolve()}",
        engine_kwargs={"connect_args": {"timeout": _WAIT_SECS}},
    )


def _sampler(search: Search, seed: int) -> optuna.samplers.BaseSampler:
    if search.sampler == "tpe":
        return optuna.samplers.TPESampler(
            n_startup_trials=search.startup_trials, seed=seed
        )
    # The values of a grid are lined up; nothing is left to draw.
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(search: Search) -> optuna.pruners.BasePruner:
    if search.pruner == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=search.startup_trials, n_warmup_steps=search.prune_after
        )
    if search.pruner == "halving":
        least: int | str = search.prune_after or "auto"
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=least)
    return optuna.pruners.NopPruner()
