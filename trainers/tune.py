r"""Searches for good values of any flags of a trainer, with Optuna.

    python -m trainers.tune --study_dir=runs/tune --space=flags/tune_cmudict.toml \
        --base=flags/seq2seq_cmudict.flags --trials=12

Every trial is an ordinary run in study_dir/trials. Stopped or killed, the same command
goes on, in the midst of a trial too. At the end, and with --show at any time, it prints
a table and writes study.html and best.flags, a flagfile with what was best. The last
line of stdout is one JSON object.
"""

import dataclasses
import functools
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from flags import binding
from pipeline import exits, extras, files, knobs, manifest, progress
from trainers import config, seq2vec_config, signals
from trainers.tuning import space, space_file

_PROGRAMS: dict[str, type] = {
    "seq2seq": config.Seq2SeqConfig,
    "seq2vec": seq2vec_config.Seq2VecConfig,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Study."""

    study_dir: str = knobs.knob(
        help_text="Where the study and its trials are; the same command goes on."
    )
    trainer: str = knobs.knob(
        "seq2seq", "What is trained.", choices=("seq2seq", "seq2vec")
    )
    space: str | None = knobs.knob(
        None, "What is varied: a TOML file, see flags/tune_cmudict.toml."
    )
    base: tuple[str, ...] = knobs.knob(
        (), "Flagfiles that every trial begins with, comma-separated."
    )
    data_dir: str | None = knobs.knob(
        None, "The data directory, in the place of the one in --base."
    )
    metric: str | None = knobs.knob(
        None,
        "Of validation, what is to become best; --best_metric of the trials. Unset: "
        "what --base says.",
    )
    base_first: bool = knobs.knob(
        True, "The first trial has the values of --base, if the space holds them."
    )
    show: bool = knobs.knob(False, "Runs nothing, shows what there is.")

    def __post_init__(self) -> None:
        """Raises ValueError if there is nothing to vary."""
        if self.space is None and not self.show:
            raise ValueError("--space is required, unless --show is given")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Search."""

    sampler: str = knobs.knob(
        "tpe",
        "How values are found: by what was good (tree-structured Parzen estimator), "
        "every combination, or at random.",
        choices=("tpe", "grid", "random"),
    )
    pruner: str = knobs.knob(
        "median",
        "Which trials are stopped early: those worse than the median of the others at "
        "the same step, all but the best part at growing steps, or none.",
        choices=("median", "halving", "none"),
    )
    startup_trials: int = knobs.knob(
        5, "The first ones are drawn at random, and not pruned by the median."
    )
    prune_after: int = knobs.knob(0, "Steps before which no trial is pruned.")
    seed: int = knobs.knob(1, "Of what is drawn.")

    def __post_init__(self) -> None:
        """Raises ValueError for counts that cannot be."""
        knobs.require_at_least(self, 0, "startup_trials", "prune_after", "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AmountConfig:
    """Amount."""

    trials: int = knobs.knob(
        20, "In all, pruned ones and those before a kill included."
    )
    parallel: int = knobs.knob(1, "Trials at a time, each a process.")
    trial_cores: int = knobs.knob(0, "Cores of a trial; 0 for an equal share of all.")
    trial_memory_mb: int = knobs.knob(
        0, "A trial that holds more, in MiB of resident memory, is ended; 0 for any."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for counts that cannot be."""
        knobs.require_positive(self, "trials", "parallel")
        knobs.require_at_least(self, 0, "trial_cores", "trial_memory_mb")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """What to search, and how."""

    study: StudyConfig
    search: SearchConfig
    amount: AmountConfig


def main(asked: TuneConfig) -> None:
    """Searches, and shows what was found."""
    study_dir = pathlib.Path(asked.study.study_dir)
    if asked.study.show:
        extras.load("optuna", needed_by="trainers.tune")
        _with_study(study_dir, functools.partial(_show, study_dir))
        return
    program = _PROGRAMS[asked.study.trainer]
    found = space_file.read(pathlib.Path(asked.study.space or ""), program)
    base = _base(asked.study, found, program)
    _check_ends(asked.study, found, binding.to_lines(base), program)
    _check_validated(base)
    grid = found.grid() if asked.search.sampler == "grid" else None
    extras.load("optuna", needed_by="trainers.tune")
    with files.locked(study_dir / files.LOCK_NAME, what=f"--study_dir={study_dir}"):
        search = functools.partial(_search, asked, found, base, grid)
        _with_study(study_dir, search)
    _with_study(study_dir, functools.partial(_show, study_dir))


def _with_study(study_dir: pathlib.Path, work: Callable[[], None]) -> None:
    """Does something with a study; what befalls its database is a refusal."""
    from trainers.tuning import study

    with study.readable(study_dir):
        work()


def _base(asked: StudyConfig, found: space.Space, program: type) -> Any:
    """Returns what every trial begins with.

    Raises:
        exits.Refusal: With `USAGE` if the flags do not parse, `BAD_DATA` if the space
            makes that so.
    """
    for flag, value, name in (
        ("metric", asked.metric, "best_metric"),
        ("data_dir", asked.data_dir, "data_dir"),
    ):
        if value and found.fixed.get(name, value) != value:
            raise exits.Refusal(
                exits.USAGE,
                f"--{flag}={value}: {found.path} has another {name} under [fixed]; "
                "leave one of them out",
            )
    given = [f"--flagfile={name}" for name in asked.base]
    given += [f"--data_dir={asked.data_dir}"] if asked.data_dir else []
    given += [f"--best_metric={asked.metric}"] if asked.metric else []
    home = f"--workdir={asked.study_dir}"  # each trial has its own
    try:
        binding.parse([*given, home], program)
    except binding.FlagError as error:
        raise exits.Refusal(exits.USAGE, str(error)) from None
    try:
        return binding.parse([*given, *space.lines(found.fixed), home], program)
    except binding.FlagError as error:
        raise exits.Refusal(exits.BAD_DATA, f"{found.path}: fixed: {error}") from None


def _check_validated(base: Any) -> None:
    """Refuses flags and data with which no trial would be validated."""
    if not base.validation.eval_every_steps:
        raise exits.Refusal(
            exits.USAGE,
            "--eval_every_steps=0: a study goes by validation; set it under [fixed]",
        )
    manifest.read(base.run.data_path).split("valid")


def _check_ends(
    asked: StudyConfig, found: space.Space, base: list[str], program: type
) -> None:
    """Refuses a space some values of which no trainer takes.

    Raises:
        exits.Refusal: With `BAD_DATA`.
    """
    for key, values in found.probes():
        try:
            binding.parse([*base, *space.lines(values)], program)
        except binding.FlagError as error:
            raise exits.Refusal(
                exits.BAD_DATA, f"{asked.space}: {key}: {error}"
            ) from None


def _search(
    asked: TuneConfig, found: space.Space, base: Any, grid: list[space.Values] | None
) -> None:
    """Runs the trials that are still wanted."""
    from trainers.tuning import running, study

    stop = signals.StopRequest()
    study_dir = pathlib.Path(asked.study.study_dir)
    lines = [one for one in binding.to_lines(base) if not one.startswith("--workdir=")]
    what = study.Asked(asked.study.trainer, base.validation.best_metric, lines, found)
    how = study.Search(**dataclasses.asdict(asked.search))
    current = study.begin(study_dir, what, how)
    num_trials = asked.amount.trials
    if grid is not None:
        num_trials = min(num_trials, len(grid))
        study.line_up(current, [dict(values) for values in grid[:num_trials]])
    elif asked.study.base_first and not study.num_taken(current):
        study.line_up(current, _first(found, base))
    program = _PROGRAMS[asked.study.trainer]
    amount = running.Amount(
        num_trials,
        asked.amount.parallel,
        asked.amount.trial_cores,
        asked.amount.trial_memory_mb,
        base.run.num_steps,
    )

    def check(flags: list[str]) -> str | None:
        try:
            binding.parse([*flags, f"--workdir={study_dir}"], program)
        except binding.FlagError as error:
            return str(error)
        return None

    running.Runner(current, what, study_dir, amount, check).run(stop)


def _first(found: space.Space, base: Any) -> list[dict[str, Any]]:
    """Returns what --base says, as the values of a trial, if it can be one."""
    values = found.within(_values(base))
    if values is not None:
        return [dict(values)]
    progress.logger.info(
        "the space does not hold the values of --base: they are not tried first"
    )
    return []


def _values(asked: Any) -> dict[str, Any]:
    """Returns the value of every knob of a config, by name."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(asked):
        value = getattr(asked, field.name)
        if dataclasses.is_dataclass(value):
            values |= _values(value)
        else:
            values[field.name] = ",".join(value) if isinstance(value, tuple) else value
    return values


def _show(study_dir: pathlib.Path) -> None:
    """Prints what was found, and writes best.flags and the page."""
    from trainers.tuning import outcome, study, study_page

    current = study.load(study_dir)
    shares = outcome.importances(current)
    print(outcome.table(current))
    print(outcome.told_importances(shares))
    best = outcome.write_best(current, study_dir)
    print(f"  {study_page.write(current, shares, study_dir)}")
    if best is not None:
        print(f"  {best}")
    print(json.dumps(outcome.result(current, shares)))


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, TuneConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
