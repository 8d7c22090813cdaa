"""The working directory of a run: flags, logs, checkpoints, summary.

`metrics.jsonl` holds what the step alone determines, so that a resumed run ends with
the same bytes as one that was never stopped. What the clock determines is in
`timing.jsonl`.
"""

import contextlib
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from pipeline import exits, files

FLAGS = "run.flags"
METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
SUMMARY = "summary.json"
SAMPLES = "samples.txt"
CHECKPOINTS = "checkpoints"
BEST = "best"
VOCABULARY = "vocabulary"
START = "init_from.json"
LABELS = "labels.json"
EVENTS = "events"
WORKERS = "workers"
_FLAG = "--workdir"  # what names a run, mostly
_SAMPLES_HEAD = "== step "
# Texts are indented, so none of their lines is taken for a head.
_SAMPLES_HEADS = re.compile(rf"^{_SAMPLES_HEAD}(?=\d+$)", re.MULTILINE)
_VALIDATION = "valid_loss"  # what a line of metrics.jsonl about a validation has


def flagfile(workdir: pathlib.Path, flag: str = _FLAG) -> pathlib.Path:
    """Returns the flagfile of a run, or refuses what is not a run; `flag` named it."""
    path = workdir / FLAGS
    if not path.is_file():
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"{flag}={workdir}: has no {FLAGS}; name a run of trainers.seq2seq or "
            "trainers.seq2vec",
        )
    return path


def flagfile_of_texts(workdir: pathlib.Path, flag: str = _FLAG) -> pathlib.Path:
    """Returns the flagfile of a run of trainers.seq2seq, or refuses any other."""
    if is_of_vectors(workdir, flag):
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"{flag}={workdir}: is a run of trainers.seq2vec, which says no texts; "
            "for one there are trainers.predict, trainers.evaluate and trainers.serve",
        )
    return flagfile(workdir, flag)


def flagfiles_of_texts(workdir: str, ensemble: Sequence[str]) -> list[pathlib.Path]:
    """Returns the same of a run and of those that decode with it."""
    flags = [_FLAG, *["--ensemble"] * len(ensemble)]
    return [
        flagfile_of_texts(pathlib.Path(one), flag)
        for one, flag in zip((workdir, *ensemble), flags, strict=True)
    ]


def flagfile_of_vectors(workdir: pathlib.Path) -> pathlib.Path:
    """Returns the flagfile of a run of trainers.seq2vec, or refuses any other."""
    if not is_of_vectors(workdir):
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"--workdir={workdir}: is not a run of trainers.seq2vec; for one of "
            "trainers.seq2seq there is trainers.translate",
        )
    return flagfile(workdir)


def is_of_vectors(workdir: pathlib.Path, flag: str = _FLAG) -> bool:
    """Returns whether a directory is that of a run of trainers.seq2vec."""
    return are_of_vectors(flags_of(workdir, flag))


def are_of_vectors(flags: dict[str, str]) -> bool:
    """Returns whether a run with such flags is one of trainers.seq2vec."""
    return "pooling" in flags


def flags_of(workdir: pathlib.Path, flag: str = _FLAG) -> dict[str, str]:
    """Returns the flags of a run as texts, by name, or refuses what is not a run."""
    return _flags_in(flagfile(workdir, flag))


def labels(workdir: pathlib.Path) -> list[str]:
    """Returns the names of the classes of a run, by id, or refuses."""
    path = workdir / LABELS
    if not path.is_file():
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"--workdir={workdir}: has no {LABELS}, so it has no classes; name a run "
            "of trainers.seq2vec",
        )
    try:
        names: list[str] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise exits.Refusal(
            exits.BAD_DATA, f"{path}: cannot be read: {error}; copy it from a backup"
        ) from None
    return names


def _flags_in(path: pathlib.Path) -> dict[str, str]:
    # What is no UTF-8 is refused where flags are understood; here they are texts.
    text = path.read_text(encoding="utf-8", errors="replace")
    return _values(text.split("\n"))


def _values(lines: list[str]) -> dict[str, str]:
    """Returns the values of a flagfile's lines, by name."""
    parts = (line[2:].partition("=") for line in lines if line.startswith("--"))
    return {name: value for name, _, value in parts}


def read_summary(workdir: pathlib.Path) -> dict[str, Any]:
    """Returns the summary of a run, nothing where there is none yet."""
    return read_json(workdir / SUMMARY) or {}


def read_json(path: pathlib.Path) -> Any:
    """Returns a JSON file's content, None where there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_log(path: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the lines of a log that are whole, none where it is not there.

    A run may be writing the last one, and one that goes on replaces the file.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    found = []
    for line in text.split("\n")[:-1]:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def own(path: pathlib.Path, worker: int) -> pathlib.Path:
    """Returns the directory that a worker of a run has for itself."""
    return path / WORKERS / str(worker) if worker else path


class RunDirectory:
    """Paths and small files of a run.

    The chief's are those of the run. Every other worker has logs of its own beside
    them, and reads the chief's checkpoints.
    """

    def __init__(self, path: pathlib.Path, worker: int = 0) -> None:
        """Makes the directory if it is not there.

        Args:
            path: Of the run.
            worker: Number of this process, 0 for the chief.
        """
        self.path = own(path, worker)
        self.path.mkdir(parents=True, exist_ok=True)
        self.checkpoints = path / CHECKPOINTS
        self.best = path / BEST
        self.vocabulary = path / VOCABULARY

    def write_flags(self, lines: list[str]) -> dict[str, str]:
        """Writes the flagfile that repeats this run.

        Returns:
            The flags that are others than in the one that was there, by name: as
            `100 -> 50`.
        """
        path = self.path / FLAGS
        before = _flags_in(path) if path.is_file() else {}
        head = (
            "# Every flag of this run; --flagfile=run.flags --workdir=NEW repeats it."
        )
        files.write_whole(path, "\n".join([head, *lines, ""]))
        now = _values(lines)
        return {
            f"--{name}": f"{before.get(name, '')} -> {now.get(name, '')}"
            for name in sorted(before.keys() | now.keys())
            if before and before.get(name) != now.get(name)
        }

    def write_labels(self, names: list[str]) -> None:
        """Writes the names of the classes, by id."""
        text = json.dumps(names, ensure_ascii=False, indent=1) + "\n"
        files.write_whole(self.path / LABELS, text)

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes summary.json."""
        files.write_whole(self.path / SUMMARY, json.dumps(summary, indent=1) + "\n")

    def write_start(self, reports: list[dict[str, Any]]) -> None:
        """Writes from what the run was begun, if it was from something."""
        if reports:
            files.write_whole(self.path / START, json.dumps(reports, indent=1) + "\n")

    def append(self, filename: str, entry: dict[str, Any]) -> None:
        """Adds a line to one of the logs."""
        self._append(filename, json.dumps(entry) + "\n")

    def append_samples(self, step: int, text: str) -> None:
        """Adds what the model said at a validation."""
        self._append(SAMPLES, f"{_SAMPLES_HEAD}{step}\n\n{text}")

    def _append(self, filename: str, text: str) -> None:
        """Adds to a log.

        Raises:
            exits.Refusal: With `DISK` if it cannot be written.
        """
        try:
            with (self.path / filename).open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise exits.Refusal(
                exits.DISK,
                f"a log cannot be written ({error}); make room, and the same command "
                "goes on from the newest checkpoint",
            ) from None

    def truncate_logs(self, last_step: int, unvalidated: int | None = None) -> None:
        """Drops the log lines after a step, which are about to be written again.

        Half a line, which a kill can leave, goes too, and what was said of a validation
        that is going to be repeated.
        """

        def is_kept(entry: dict[str, Any]) -> bool:
            repeated = entry["step"] == unvalidated and _VALIDATION in entry
            return entry["step"] <= last_step and not repeated

        for name in (METRICS, TIMING):
            path = self.path / name
            if not path.is_file():
                continue
            text = path.read_text(encoding="utf-8")
            lines = text.split("\n")[:-1]  # after the last \n: nothing, or half a line
            try:
                kept = [line for line in lines if is_kept(json.loads(line))]
            except (ValueError, TypeError, KeyError) as error:
                raise exits.Refusal(
                    exits.BAD_DATA,
                    f"{path}: a line of it cannot be read: {error}; mend it, or move "
                    "the file away",
                ) from None
            files.write_whole(path, "".join(f"{line}\n" for line in kept))
        self._truncate_samples(last_step, unvalidated)

    def _truncate_samples(self, last_step: int, unvalidated: int | None) -> None:
        path = self.path / SAMPLES
        if not path.is_file():
            return
        # After the last \n: nothing, or half a line, which can end inside a character.
        lines, end, _ = path.read_bytes().rpartition(b"\n")
        text = (lines + end).decode("utf-8", errors="replace")
        _, *parts = _SAMPLES_HEADS.split(text)
        steps = [int(part.partition("\n")[0]) for part in parts]
        kept = [
            part
            for part, step in zip(parts, steps, strict=True)
            if step <= last_step and step != unvalidated
        ]
        files.write_whole(path, "".join(f"{_SAMPLES_HEAD}{part}" for part in kept))
