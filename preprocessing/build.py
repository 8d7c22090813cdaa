r"""Turns raw text into a data directory: subword models, TFRecord shards, manifest.

    python -m preprocessing.build --data_dir=data/numbers --corpus=numbers
    python -m preprocessing.build --data_dir=data/mine \
        --train_src=train.en.gz --train_tgt=train.de.gz \
        --valid_src=valid.en --valid_tgt=valid.de
    python -m preprocessing.build --data_dir=data/mine --train=pairs.tsv \
        --valid_fraction=0.01 --test_fraction=0.01

The directory appears whole or not at all. Run again with the same settings and files it
says so and does nothing.
"""

import fnmatch
import functools
import logging
import pathlib
import sys
import tempfile
from typing import Any, NamedTuple

from flags import binding
from pipeline import (
    directories,
    exits,
    extras,
    files,
    knobs,
    locations,
    manifest,
    progress,
    sidecars,
    vocabulary,
)
from preprocessing import (
    config,
    corpora,
    labels,
    lines,
    local_runner,
    subword_config,
    summary,
)
from preprocessing import making as making_lib

# What a build on a remote file system that was killed can leave: shards, and once their
# rejects are written what comes after them.
_REJECTS = "rejects.tsv.gz"
_SHARDS = tuple(
    f"{split}-*-of-*.{kind}"
    for split in manifest.SPLITS
    for kind in ("tfrecord", "lengths")
)
_BUT_MANIFEST = (
    *("src.model", "tgt.model", "shared.model"),
    *("src.vocab", "tgt.vocab", "shared.vocab"),
    _REJECTS,
    *_SHARDS,
)
_OUR_FILES = (manifest.FILENAME, *_BUT_MANIFEST)


def main(build: config.BuildConfig) -> int:
    """Builds the data directory; returns the exit code."""
    target = build.output.location
    if isinstance(target, locations.RemotePath):
        return _build_remote(build, target)
    is_there = (target / manifest.FILENAME).is_file() and not build.output.overwrite
    if target.is_mount() and not is_there:
        raise exits.Refusal(
            exits.USAGE,
            f"--data_dir={target}: is a mount point, which nothing can be moved into "
            "the place of; name a directory inside it",
        )
    with (
        directories.ended_by_signals(),
        # First, so that a worker that outlives this process does not hold the lock.
        _runner(build) as runner,
        files.locked(directories.lock_of(target), what=f"--data_dir={target}"),
    ):
        directories.recover(target)
        prepared = _prepared(build, target, runner)
        if prepared is None:
            return exits.DONE
        with directories.appearing(target) as partial:
            done = prepared.make(partial)
    print(summary.table(done))
    return exits.DONE


def _build_remote(build: config.BuildConfig, target: locations.RemotePath) -> int:
    """Does the same on a file system without locks and swaps of directories.

    Workers write the shards where they stay. The manifest is written last, and without
    one there is no data set.
    """
    with (
        directories.ended_by_signals(),
        _runner(build) as runner,
        tempfile.TemporaryDirectory() as folder,
    ):
        prepared = _prepared(build, target, runner)
        if prepared is None:
            return exits.DONE
        for name in sorted(target.names(), key=_removal_order):
            (target / name).unlink()  # of a build that did not come to its manifest
        partial = pathlib.Path(folder)
        done = prepared.make(partial)
        paths = sorted(partial.iterdir(), key=lambda path: path.name)
        for path in sorted(paths, key=lambda path: path.name == manifest.FILENAME):
            (target / path.name).write_bytes(path.read_bytes())
    print(summary.table(done))
    return exits.DONE


def _removal_order(name: str) -> int:
    """Returns the place of a file: whatever is left at any time is known as ours."""
    return {manifest.FILENAME: 0, _REJECTS: 2}.get(name, 1)


class _Prepared(NamedTuple):
    """What is known of a build before anything is written."""

    build: config.BuildConfig
    sources: list[corpora.Source]
    facts: list[list[lines.FileFacts]]
    settings: dict[str, Any]
    described: list[dict[str, Any]]
    runner: making_lib.Runner

    def make(self, directory: pathlib.Path) -> manifest.Manifest:
        """Makes a data directory, the manifest last."""
        making = making_lib.Making(directory, self.build, self.sources, self.runner)
        done = making.run(self.settings, self.described)
        lines.check_unchanged([fact for group in self.facts for fact in group])
        return done


def _prepared(
    build: config.BuildConfig, target: locations.Location, runner: making_lib.Runner
) -> _Prepared | None:
    """Reads all sources once; returns None where the target is what would be built."""
    sources = corpora.sources(build.corpus, build.task.task, build.cleaning.max_bytes)
    _check_replaceable(target, sources)
    facts = runner.survey(sources)
    # Every knob that decides what is written, as JSON has it.
    settings = knobs.fixed_leaves(build)
    described = _describe(sources, facts, build)
    if _up_to_date(target, settings, described, overwrite=build.output.overwrite):
        progress.logger.info("%s is up to date", target)
        return None
    return _Prepared(build, sources, facts, settings, described, runner)


def _runner(build: config.BuildConfig) -> making_lib.Runner:
    """Returns who does the work.

    Raises:
        exits.Refusal: If it is Beam, and Beam is not installed.
    """
    if build.runner.runner == "local":
        return local_runner.LocalRunner(build)
    logging.disable(logging.WARNING)  # Beam says at import what else it could use
    try:
        extras.load("apache_beam", needed_by="--runner=beam", extra="beam")
        from preprocessing import beam_runner
    finally:
        logging.disable(logging.NOTSET)
    return beam_runner.BeamRunner(build)


def _describe(
    sources: list[corpora.Source],
    facts: list[list[lines.FileFacts]],
    build: config.BuildConfig,
) -> list[dict[str, Any]]:
    """Returns what the manifest says of the sources; content decides, not paths."""
    described: list[dict[str, Any]] = [
        {
            "name": source.name,
            "split": source.split or "by hash",
            "weight": source.weight,
            "files": [
                {
                    "name": corpora.shown_name(fact.path.name),
                    "bytes": fact.bytes,
                    "lines": fact.lines,
                    "sha256": fact.sha256,
                }
                for fact in group
            ],
        }
        for source, group in zip(sources, facts, strict=True)
    ]
    _check_given_models(build)
    given = {
        **_given_models(build),
        "normalize_rules": build.subwords.normalize_rules,
        "label_map": labels.file_of(build.task),
    }
    for name, file in given.items():
        if file is None:
            continue
        if not pathlib.Path(file).is_file():
            raise exits.Refusal(exits.MISSING_INPUT, f"--{name}={file}: no such file")
        described.append({"name": name, "sha256": files.sha256(pathlib.Path(file))})
    return described


def _given_models(build: config.BuildConfig) -> dict[str, str]:
    """Returns the SentencePiece models that flags name, by flag."""
    names = ("spm_model", "src_spm_model", "tgt_spm_model")
    asked = {name: getattr(build.subwords, name) for name in names}
    return {name: path for name, path in asked.items() if path is not None}


def _check_given_models(build: config.BuildConfig) -> None:
    """Refuses given models that are not ours, or cannot be sampled as asked."""
    can_vary = {}
    for name, path in _given_models(build).items():
        model = vocabulary.Vocabulary(pathlib.Path(path))
        if model.size > sidecars.MAX_LENGTH:
            raise exits.Refusal(
                exits.MISMATCH,
                f"--{name}={path}: {model.size} pieces, at most {sidecars.MAX_LENGTH}",
            )
        can_vary[path] = model.has_segmentations
    settings = build.subwords
    sides = ("src",) if build.task.task == "labels" else ("src", "tgt")
    given = [settings.given(side) for side in sides]
    may_vary = [
        can_vary[path]
        if path
        else settings.type(side) not in subword_config.FIXED_TYPES
        for side, path in zip(sides, given, strict=True)
    ]
    if settings.subword_samples and not any(may_vary):
        path = next(filter(None, given))
        raise exits.Refusal(
            exits.USAGE,
            f"--subword_samples={settings.subword_samples}: {path} has one "
            "segmentation; use a unigram or BPE model",
        )


def _check_replaceable(
    target: locations.Location, sources: list[corpora.Source]
) -> None:
    """Refuses a target that holds anything but a data directory of ours.

    `--overwrite` removes what is there, so it must never be somebody's own files.
    """
    if target.is_file():
        raise exits.Refusal(exits.MISMATCH, f"--data_dir={target}: is not a directory")
    names = _names(target)
    ours = _OUR_FILES
    if names and manifest.FILENAME not in names:
        left_over = _BUT_MANIFEST if _REJECTS in names else _SHARDS
        ours = () if isinstance(target, pathlib.Path) else left_over
    foreign = [
        name
        for name in names
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in ours)
    ]
    inputs = [
        str(path)
        for source in sources
        for path in source.files
        if isinstance(target, pathlib.Path)
        and isinstance(path, pathlib.Path)
        and path.resolve().is_relative_to(target.resolve())
    ]
    if foreign or inputs:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--data_dir={target}: holds {(inputs or foreign)[0]!r}, which is not of a "
            "data directory; name another directory",
        )


def _names(target: locations.Location) -> list[str]:
    """Returns what is in a directory, which need not be there."""
    if isinstance(target, locations.RemotePath):
        return target.names()
    return sorted(path.name for path in target.iterdir()) if target.is_dir() else []


def _up_to_date(
    target: locations.Location,
    settings: dict[str, Any],
    described: list[dict[str, Any]],
    *,
    overwrite: bool,
) -> bool:
    """Returns whether the target is what would be built; refuses if it is another."""
    names = _names(target)
    if not names or overwrite:
        return False
    if isinstance(target, locations.RemotePath) and manifest.FILENAME not in names:
        return False
    found = manifest.read(target)
    # What may change now, an older build may have written down.
    may_change = knobs.leaves(config.BuildConfig).keys() - settings.keys()
    differing = [
        f"{name}: {found.settings.get(name)!r} there, {settings.get(name)!r} asked"
        for name in sorted((settings.keys() | found.settings.keys()) - may_change)
        if found.settings.get(name) != settings.get(name)
    ]
    if _content(found.sources) != _content(described):
        differing.append("the input files have other content")
    if found.format_version != manifest.FORMAT_VERSION:
        differing = [f"in format version {found.format_version}"]
    if differing:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--data_dir={target} was built otherwise ({'; '.join(differing)}); name "
            "another directory, or replace it with --overwrite",
        )
    for name, split in found.splits.items():
        if split.num_records:
            manifest.check_files(found, target, name)
    vocabulary.check_files(
        target, [found.src_vocabulary, found.tgt_vocabulary or found.src_vocabulary]
    )
    return True


def _content(described: list[dict[str, Any]]) -> list[Any]:
    """Returns what decides of the sources; of a file that is given, what it is for."""
    return [
        [source.get("split"), source.get("sha256"), source.get("weight")]
        + [source["name"]] * ("sha256" in source)
        + [file["sha256"] for file in source.get("files", [])]
        for source in described
    ]


if __name__ == "__main__":
    progress.configure_logging()
    asked = binding.parse_or_exit(sys.argv, config.BuildConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, asked)))
