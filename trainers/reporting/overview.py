"""The top of the page: what a run is, its figures, its flags, its machine."""

import shlex
from typing import Any

from pipeline import progress
from trainers import run_directory
from trainers.reporting import axes, collecting, markup, settings

_ENDS = {
    "steps": "finished",
    "early_stop": "ended as validation got no better",
    "time": "ended by --max_train_secs",
    "preempted": "stopped by a signal, to go on",
    "diverged": "ended: gradients were not finite",
    "refused": "ended by an error",
}
_METRICS = {"bleu": "BLEU", "chrf": "chrF", "macro_f1": "macro F1"}
# Of what trainers.evaluate writes, in this order.
EVALUATED = (
    *("loss", "accuracy", "macro_f1", "retrieval_accuracy", "token_accuracy"),
    *("bleu", "chrf", "ter", "rougeL", "exact_match", "token_error_rate"),
)


def metric(name: str) -> str:
    """Returns a figure's name for people.

    >>> metric("valid_token_accuracy"), metric("bleu")
    ('valid token accuracy', 'BLEU')
    """
    split, bar, rest = name.partition("_")
    if bar and split in ("valid", "test"):
        return f"{split} {metric(rest)}"
    return _METRICS.get(name, name.replace("_", " "))


def kind(run: collecting.Run) -> str:
    """Returns what was trained, in words."""
    flags = run.flags
    if run.is_of_vectors:
        task = "texts to vectors" if flags.get("head") == "embedding" else "classifier"
        return f"{task}, {flags.get('model', 'model')}"
    return f"sequence to sequence, {flags.get('model', 'model')}"


def state(run: collecting.Run) -> str:
    """Returns how far a run has come, in words."""
    step = run.summary.get("step")
    if step is None:
        return f"not ended yet; logged up to step {run.last_step:,}"
    if run.summed_up is not None:
        return (
            f"resumed and not ended yet; logged up to step {run.last_step:,}, the "
            f"figures of its summary are of step {step:,}"
        )
    end = run.summary.get("finished", "")
    return f"{_ENDS.get(end, end)} after {step:,} steps"


def as_of(run: collecting.Run) -> str:
    """Returns what stands behind a figure of a summary that the run has left behind."""
    return "" if run.summed_up is None else f", up to step {run.summed_up:,}"


def resumes(count: int) -> str:
    """Returns how often a run was started again, in words."""
    if not count:
        return "in one go"
    return "resumed once" if count == 1 else f"resumed {count:,} times"


def tiles(run: collecting.Run) -> markup.Markup:
    """Returns the figures that matter most, large."""
    summary = run.summary
    found: list[tuple[str, str, str | None]] = []
    if run.best:
        at = f"best{as_of(run)}, at step {run.best['step']:,}"
        value = axes.told(run.best["value"])
        found.append((metric(run.best["metric"]), value, at))
    for split, result in run.evaluations.items():
        name = next((one for one in reversed(EVALUATED[:-1]) if one in result), None)
        if name == "exact_match" and result.get("bleu", 0) > 1:
            name = "bleu"
        if name and isinstance(result[name], int | float):
            told = axes.told(result[name])
            found.append((f"{split} {metric(name)}", told, result.get("checkpoints")))
    if "wall_secs" in summary:
        note = resumes(summary.get("num_resumes", 0)) + as_of(run)
        found.append(("time", progress.duration(summary["wall_secs"]), note))
    for name, title in (
        ("num_weights", "weights"),
        ("tgt_tokens_per_sec", "target tokens a second"),
        ("examples_per_sec", "examples a second"),
    ):
        if summary.get(name):
            found.append((title, axes.told(summary[name]), None))
    cards = [
        markup.tag(
            "div",
            markup.tag("small", title),
            markup.tag("strong", value),
            markup.tag("small", note) if note else None,
        )
        for title, value, note in found
    ]
    return markup.tag("div", cards, class_="tiles")


def asked(run: collecting.Run) -> list[markup.Markup]:
    """Returns the flags that somebody chose, and all of them folded up."""
    rows = [
        [f"--{name}", value, default or "not set"]
        for name, (value, default) in settings.chosen(run.flags).items()
    ]
    every = "\n".join(f"--{name}={value}" for name, value in run.flags.items())
    chosen = markup.table(["flag", "value", "default"], rows, numbers_from=None)
    return [
        chosen if rows else markup.tag("p", "All flags have their defaults."),
        markup.tag(
            "details",
            markup.tag("summary", f"All {len(run.flags)} flags"),
            markup.tag("pre", every),
        ),
    ]


def repeat(run: collecting.Run) -> markup.Markup:
    """Returns the command that repeats the run."""
    program = "seq2vec" if run.is_of_vectors else "seq2seq"
    path = shlex.quote(str(run.workdir / run_directory.FLAGS))
    command = f"python -m trainers.{program} --flagfile={path} --workdir=NEW"
    return markup.tag("pre", command)


def machine(run: collecting.Run) -> markup.Markup:
    """Returns versions, hardware and what happened to the run."""
    summary = run.summary
    facts: dict[str, Any] = {
        **summary.get("versions", {}),
        **summary.get("machine", {}),
    }
    rows = [[name, str(value)] for name, value in facts.items() if value]
    if summary.get("plan_digest"):
        rows.append(["plan of batches", summary["plan_digest"]])
    rows.append(["data directory", run.flags.get("data_dir", "unknown")])
    rows += [["begun from", _begun(entry)] for entry in run.start]
    for event in summary.get("history", []):
        told = ", ".join(f"{key}: {value}" for key, value in event.items())
        rows.append(["happened", told])
    return markup.table(["", ""], rows, numbers_from=None)


def _begun(entry: dict[str, Any]) -> str:
    told = (f"{key}: {_brief(value)}" for key, value in entry.items())
    return "; ".join(told)


def _brief(value: Any) -> str:
    return f"{len(value):,}" if isinstance(value, list | dict) else str(value)
