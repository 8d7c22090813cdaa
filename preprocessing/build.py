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
from typing import Any

from flags import binding
from pipeline import (
    directories,
    exits,
    extras,
    files,
    knobs,
    manifest,
    progress,
    records,
    vocabulary,
)
from preprocessing import config, corpora, labels, lines, local_runner, summary
from preprocessing import making as making_lib

_OUR_FILES = (
    manifest.FILENAME,
    "rejects.tsv.gz",
    *("src.model", "tgt.model", "shared.model"),
    *("src.vocab", "tgt.vocab", "shared.vocab"),
    *(f"{split}-*-of-*.tfrecord" for split in manifest.SPLITS),
    *(f"{split}-*-of-*.lengths" for split in manifest.SPLITS),
)


def main(build: config.BuildConfig) -> int:
    """Builds the data directory; returns the exit code."""
    target = build.output.path.absolute()
    with (
        directories.ended_by_signals(),
        # First, so that a worker that outlives this process does not hold the lock.
        _runner(build) as runner,
        files.locked(directories.lock_of(target), what=f"--data_dir={target}"),
    ):
        directories.recover(target)
        sources = corpora.sources(
            build.corpus, build.task.task, build.cleaning.max_bytes
        )
        _check_replaceable(target, sources)
        facts = runner.survey(sources)
        settings, described = _settings(build), _describe(sources, facts, build)
        if _up_to_date(target, settings, described, overwrite=build.output.overwrite):
            progress.logger.info("%s is up to date", target)
            return exits.DONE
        with directories.appearing(target) as partial:
            making = making_lib.Making(partial, build, sources, runner)
            done = making.run(settings, described)
            lines.check_unchanged([fact for group in facts for fact in group])
    print(summary.table(done))
    return exits.DONE


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


def _settings(build: config.BuildConfig) -> dict[str, Any]:
    """Returns every knob that decides what is written, as JSON has it."""
    fixed = knobs.fixed_leaves(build)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fixed.items()
    }


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
                    "name": fact.path.name,
                    "bytes": fact.bytes,
                    "lines": fact.lines,
                    "sha256": fact.sha256,
                }
                for fact in group
            ],
        }
        for source, group in zip(sources, facts, strict=True)
    ]
    subwords = build.subwords
    if subwords.spm_model:
        path = pathlib.Path(subwords.spm_model)
        size = vocabulary.Vocabulary(path).size  # refuses what is not a model
        if size > records.MAX_LENGTH:
            raise exits.Refusal(
                exits.MISMATCH,
                f"--spm_model={path}: {size} pieces, at most {records.MAX_LENGTH}",
            )
    given = {
        "spm_model": subwords.spm_model,
        "normalize_rules": subwords.normalize_rules,
        "label_map": labels.file_of(build.task),
    }
    for name, file in given.items():
        if file is None:
            continue
        if not pathlib.Path(file).is_file():
            raise exits.Refusal(exits.MISSING_INPUT, f"--{name}={file}: no such file")
        described.append({"name": name, "sha256": files.sha256(pathlib.Path(file))})
    return described


def _check_replaceable(target: pathlib.Path, sources: list[corpora.Source]) -> None:
    """Refuses a target that holds anything but a data directory of ours.

    `--overwrite` removes what is there, so it must never be somebody's own files.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise exits.Refusal(exits.MISMATCH, f"--data_dir={target}: is not a directory")
    names = sorted(path.name for path in target.iterdir())
    foreign = [
        name
        for name in names
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in _OUR_FILES)
    ]
    if names and manifest.FILENAME not in names:
        foreign = foreign or names
    inputs = [
        str(path)
        for source in sources
        for path in source.files
        if path.resolve().is_relative_to(target.resolve())
    ]
    if foreign or inputs:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--data_dir={target}: holds {(inputs or foreign)[0]!r}, which is not of a "
            "data directory; name another directory",
        )


def _up_to_date(
    target: pathlib.Path,
    settings: dict[str, Any],
    described: list[dict[str, Any]],
    *,
    overwrite: bool,
) -> bool:
    """Returns whether the target is what would be built; refuses if it is another."""
    if not target.exists() or overwrite:
        return False
    if not any(target.iterdir()):
        return False
    found = manifest.read(target)
    names = settings.keys() | found.settings.keys()
    differing = [
        f"{name}: {found.settings.get(name)!r} there, {settings.get(name)!r} asked"
        for name in sorted(names)
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
    return [
        [source.get("split"), source.get("sha256"), source.get("weight")]
        + [file["sha256"] for file in source.get("files", [])]
        for source in described
    ]


if __name__ == "__main__":
    progress.configure_logging()
    asked = binding.parse_or_exit(sys.argv, config.BuildConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, asked)))
