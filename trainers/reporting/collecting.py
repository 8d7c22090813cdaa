"""What the files of a working directory say of a run, whatever of them is there."""

import pathlib
from typing import Any, NamedTuple

from trainers import run_directory
from trainers.reporting import samples

_EVALUATED = "evaluate_"
_CONFUSED = "confusions_"


class Run(NamedTuple):
    """A run as its files tell it.

    Attributes:
        workdir: Where they are.
        name: For people; tells it from the others on the page.
        flags: Of `run.flags`, by name.
        summary: `summary.json`; empty if the run has not ended yet.
        training: Lines of `metrics.jsonl` about training, by step.
        validations: Those about validations.
        timing: Lines of `timing.jsonl`.
        samples: What was said at each validation.
        evaluations: What trainers.evaluate found on the run's data, by split.
        confusions: Its confusions of classes, by split.
        start: From what the weights were begun.
    """

    workdir: pathlib.Path
    name: str
    flags: dict[str, str]
    summary: dict[str, Any]
    training: list[dict[str, Any]]
    validations: list[dict[str, Any]]
    timing: list[dict[str, Any]]
    samples: dict[int, list[samples.Sample]]
    evaluations: dict[str, dict[str, Any]]
    confusions: dict[str, dict[str, Any]]
    start: list[dict[str, Any]]

    @property
    def is_of_vectors(self) -> bool:
        """Whether it is a run of trainers.seq2vec."""
        return run_directory.are_of_vectors(self.flags)

    @property
    def last_step(self) -> int:
        """The last step that the log knows of."""
        lines = (*self.training, *self.validations)
        return max((line["step"] for line in lines if "step" in line), default=0)

    @property
    def summed_up(self) -> int | None:
        """The step that `summary.json` is of, if the log goes on after it, else None.

        Such a run was resumed, and goes on or was killed.
        """
        step = self.summary.get("step")
        return step if step is not None and step < self.last_step else None

    @property
    def best(self) -> dict[str, Any]:
        """Metric, value and step of the best validation; empty if there was none."""
        return self.summary.get("best") or {}


def read(workdir: pathlib.Path, name: str = "") -> Run:
    """Returns a run.

    Raises:
        exits.Refusal: If the directory is not that of a run.
    """
    lines = run_directory.read_log(workdir / run_directory.METRICS)
    return Run(
        workdir=workdir,
        name=name or workdir.resolve().name,
        flags=run_directory.flags_of(workdir),
        summary=run_directory.read_summary(workdir),
        training=[line for line in lines if "learning_rate" in line],
        validations=[line for line in lines if "learning_rate" not in line],
        timing=run_directory.read_log(workdir / run_directory.TIMING),
        samples=samples.read(workdir),
        evaluations=_by_split(workdir, _EVALUATED),
        confusions=_by_split(workdir, _CONFUSED),
        start=run_directory.read_json(workdir / run_directory.START) or [],
    )


def read_all(workdirs: list[pathlib.Path]) -> list[Run]:
    """Returns several runs, named so that no two names are the same."""
    short = [path.resolve().name for path in workdirs]
    names = short if len(set(short)) == len(short) else [str(path) for path in workdirs]
    return [read(path, name) for path, name in zip(workdirs, names, strict=True)]


def points(lines: list[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    """Returns step and value of a figure, where it has one."""
    return [(line["step"], line[name]) for line in lines if line.get(name) is not None]


def _by_split(workdir: pathlib.Path, prefix: str) -> dict[str, dict[str, Any]]:
    """Returns files of results by split, the run's own on its own data.

    Others have more than their split in their name.
    """
    found = {}
    for path in sorted(workdir.glob(f"{prefix}*.json")):
        content, name = run_directory.read_json(path), path.stem.removeprefix(prefix)
        if isinstance(content, dict) and content.get("split", name) == name:
            found[name] = content
    return found
