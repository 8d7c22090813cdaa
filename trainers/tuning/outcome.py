"""What came of a study: a table, what mattered, the best flags."""

import importlib.util
import pathlib
from typing import Any

import optuna

from pipeline import files, progress
from trainers import run_directory
from trainers.tuning import running, study

BEST = "best.flags"
_FEWEST = 4  # ended trials, below which nothing is said of importance


def table(current: optuna.Study) -> str:
    """Returns all trials, best first, as lines for people."""
    metric = f"valid_{study.metric_of(current)}"
    head = f"  trial  state     {metric:>16}    step      time  values"
    lines = [head]
    for one in rows(current):
        value = "-" if one.value is None else f"{one.value:.4f}"
        secs = one.user_attrs.get(study.SECS)
        took = progress.duration(secs) if secs else "-"
        values = " ".join(f"{k}={brief(v)}" for k, v in one.params.items())
        state = one.state.name.lower()
        step = one.user_attrs.get(study.BEST_STEP, one.last_step)
        lines.append(
            f"  {one.number:5}  {state:8}  {value:>16}  {step or '-':>6}  {took:>8}  "
            f"{values}"
        )
        if study.WHY in one.user_attrs:
            lines.append(f"         {one.user_attrs[study.WHY]}")
    return "\n".join(lines)


def importances(current: optuna.Study) -> dict[str, float]:
    """Returns how much each parameter mattered, together 1; nothing if too few ended.

    fANOVA (Hutter et al. 2014) where scikit-learn is installed and every trial has
    every parameter, else PED-ANOVA (Watanabe et al. 2023).
    """
    done = current.get_trials(deepcopy=False, states=(study.States.COMPLETE,))
    values = {one.value for one in done}
    if len(done) < _FEWEST or len(values) < 2:
        return {}
    names = {frozenset(one.params) for one in done}
    evaluator: optuna.importance.BaseImportanceEvaluator | None = None
    if len(names) == 1 and importlib.util.find_spec("sklearn") is not None:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    try:
        return optuna.importance.get_param_importances(current, evaluator=evaluator)
    except (ValueError, RuntimeError) as error:  # all values of a parameter the same
        progress.logger.info("importances cannot be told: %s", error)
        return {}


def told_importances(found: dict[str, float]) -> str:
    """Returns importances as lines for people."""
    if not found:
        return "  importances: too few trials came to their end"
    lines = [
        f"  {name:20} {share:.3f}  {'#' * round(40 * share)}"
        for name, share in found.items()
    ]
    return "\n".join(["  importance of the parameters", *lines])


def write_best(current: optuna.Study, study_dir: pathlib.Path) -> pathlib.Path | None:
    """Writes the flags of the best trial as a flagfile; None if no trial ended well."""
    best = study.best(current)
    if best is None:
        return None
    workdir = running.workdir_of(study_dir, best.number)
    flags = [
        f"--{name}={value}"
        for name, value in run_directory.flags_of(workdir).items()
        if name != "workdir"
    ]
    head = [
        f"# The best of {len(study.ended(current))} trials, number {best.number}: "
        f"valid_{study.metric_of(current)} {best.value:.6g} "
        f"at step {best.user_attrs.get(study.BEST_STEP)}.",
        "# Needs --workdir. Found: "
        + " ".join(f"{name}={brief(value)}" for name, value in best.params.items()),
    ]
    path = study_dir / BEST
    files.write_whole(path, "\n".join([*head, "", *flags, ""]))
    return path


def result(current: optuna.Study, shares: dict[str, float]) -> dict[str, Any]:
    """Returns the outcome for programs."""
    best = study.best(current)
    counts = {state.name.lower(): 0 for state in study.States}
    for one in current.get_trials(deepcopy=False):
        counts[one.state.name.lower()] += 1
    return {
        "metric": f"valid_{study.metric_of(current)}",
        "trials": counts,
        "best": None
        if best is None
        else {"trial": best.number, "value": best.value, "values": best.params},
        "importances": shares,
    }


def rows(current: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Returns the trials, those that came to their end first, the best before."""
    sign = -1 if current.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    every = [
        one
        for one in current.get_trials(deepcopy=False)
        if one.state != study.States.WAITING
    ]

    def place(one: optuna.trial.FrozenTrial) -> tuple[bool, bool, float]:
        is_open = one.state != study.States.COMPLETE
        value = sign * one.value if one.value is not None else 0.0
        return is_open, one.state == study.States.FAIL, value

    return sorted(every, key=place)


def brief(value: Any) -> str:
    """Returns a value in few letters."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
