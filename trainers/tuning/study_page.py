"""A study as one HTML page with pictures."""

import pathlib

import optuna

from pipeline import files
from trainers.reporting import axes, charts, markup, page
from trainers.tuning import outcome, study

PAGE = "study.html"


def write(
    current: optuna.Study, shares: dict[str, float], study_dir: pathlib.Path
) -> pathlib.Path:
    """Writes the study as one HTML page with pictures, and returns where it is."""
    metric = f"valid {study.metric_of(current)}"
    pictures = [_history(current, metric), _courses(current, metric)]
    pictures += _by_parameter(current, metric)
    best = study.best(current)
    told = f"{len(study.ended(current))} trials; {metric}, {_aim(current)} is better"
    if best is not None:
        told += f"; best {axes.told(best.value or 0.0)}, trial {best.number}"
    head = markup.tag(
        "header",
        markup.tag("h1", study_dir.resolve().name),
        markup.tag("p", told),
    )
    drawn = [one for one in pictures if one is not None]
    body = [
        head,
        _section("Pictures", markup.tag("div", drawn, class_="charts")),
        _section("What mattered", _importance_table(shares)),
        _section("Trials", _trial_table(current, metric)),
    ]
    path = study_dir / PAGE
    files.write_whole(path, page.whole(study_dir.resolve().name, body))
    return path


def _history(current: optuna.Study, metric: str) -> markup.Markup | None:
    is_max = current.direction == optuna.study.StudyDirection.MAXIMIZE
    done = current.get_trials(deepcopy=False, states=(study.States.COMPLETE,))
    points = [(float(one.number), float(one.value or 0.0)) for one in done]
    best: list[charts.Point] = []
    for number, value in points:
        pick = max if is_max else min
        best.append((number, pick(value, best[-1][1]) if best else value))
    series = [
        charts.Series("best so far", best, 1, is_faint=True),
        charts.Series("a trial", points, 0, is_marked=True, is_joined=False),
    ]
    return charts.lines("Trials", series, x_label="trial", y_label=metric)


def _courses(current: optuna.Study, metric: str) -> markup.Markup | None:
    best = study.best(current)
    series = [
        charts.Series(
            f"trial {one.number}",
            sorted(one.intermediate_values.items()),
            0,
            is_faint=best is None or one.number != best.number,
            is_marked=best is not None and one.number == best.number,
        )
        for one in current.get_trials(deepcopy=False)
        if one.intermediate_values
    ]
    series.sort(key=lambda one: one.is_marked)  # the best on top
    return charts.lines(
        "Validations, the best trial strong", series, y_label=metric, legend=False
    )


def _by_parameter(current: optuna.Study, metric: str) -> list[markup.Markup | None]:
    """Returns a picture for each parameter that has a range."""
    done = current.get_trials(deepcopy=False, states=(study.States.COMPLETE,))
    names = dict.fromkeys(name for one in done for name in one.params)
    found = []
    for name in names:
        having = [one for one in done if name in one.params]
        numbers = [one.params[name] for one in having]
        if not all(isinstance(v, int | float) for v in numbers):
            continue
        points = [(float(one.params[name]), float(one.value or 0.0)) for one in having]
        is_log = getattr(having[0].distributions[name], "log", False)
        dots = charts.Series(
            "a trial", sorted(points), 0, is_marked=True, is_joined=False
        )
        found.append(
            charts.lines(name, [dots], x_label=name, y_label=metric, log_x=is_log)
        )
    return found


def _trial_table(current: optuna.Study, metric: str) -> markup.Markup:
    rows = outcome.rows(current)
    names = list(dict.fromkeys(name for one in rows for name in one.params))
    lines = [
        [
            one.number,
            one.state.name.lower(),
            "-" if one.value is None else f"{one.value:.4f}",
            one.user_attrs.get(study.BEST_STEP, one.last_step) or "-",
            *(outcome.brief(one.params[k]) if k in one.params else "-" for k in names),
            one.user_attrs.get(study.WHY, ""),
        ]
        for one in rows
    ]
    return markup.table(["trial", "state", metric, "step", *names, ""], lines)


def _importance_table(shares: dict[str, float]) -> markup.Markup:
    if not shares:
        return markup.tag("p", "Too few trials came to their end.", class_="told")
    rows = [[name, markup.bar(share)] for name, share in shares.items()]
    return markup.table(["parameter", "importance"], rows, numbers_from=None)


def _section(title: str, part: markup.Markup) -> markup.Markup:
    return markup.tag("section", markup.tag("h2", title), part)


def _aim(current: optuna.Study) -> str:
    is_max = current.direction == optuna.study.StudyDirection.MAXIMIZE
    return "higher" if is_max else "lower"
