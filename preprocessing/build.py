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
import os
import pathlib
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import sentencepiece

from flags import binding
from pipeline import exits, files, knobs, manifest, progress, vocabulary
from preprocessing import cleaning, config, corpora, shards, subwords

_OUR_FILES = (
    manifest.FILENAME,
    "rejects.tsv.gz",
    *("src.model", "tgt.model", "shared.model"),
    *("src.vocab", "tgt.vocab", "shared.vocab"),
    *(f"{split}-*-of-*.tfrecord" for split in manifest.SPLITS),
    *(f"{split}-*-of-*.lengths" for split in manifest.SPLITS),
)
_NUM_HELD_OUT_SHARDS = 1  # of valid and test each


def main(build: config.BuildConfig) -> int:
    """Builds the data directory; returns the exit code."""
    target = build.output.path
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    with files.locked(_beside(target, ".lock"), what=f"--data_dir={target}"):
        _recover(target)
        sources = corpora.sources(build.corpus, build.cleaning.max_bytes)
        _check_replaceable(target, sources)
        facts = _survey(sources, build)
        settings, described = _settings(build), _describe(sources, facts, build)
        if _up_to_date(target, settings, described, overwrite=build.output.overwrite):
            progress.logger.info("%s is up to date", target)
            return exits.DONE
        partial = _beside(target, f".tmp-{os.getpid()}")
        partial.mkdir(parents=True)
        try:
            done = _write(partial, sources, build, settings, described)
            corpora.check_unchanged([fact for group in facts for fact in group])
            _commit(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    print(_table(done))
    return exits.DONE


def _survey(
    sources: list[corpora.Source], build: config.BuildConfig
) -> list[list[corpora.FileFacts]]:
    limit = build.corpus.max_reject_fraction
    with progress.Progress("reading", unit="sources", total=len(sources)) as bar:
        facts = []
        for source in sources:
            facts.append(corpora.survey(source, build.cleaning.max_bytes, limit))
            bar.update()
    return facts


def _settings(build: config.BuildConfig) -> dict[str, Any]:
    """Returns every knob that decides what is written, as JSON has it."""
    fixed = knobs.fixed_leaves(build)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fixed.items()
    }


def _describe(
    sources: list[corpora.Source],
    facts: list[list[corpora.FileFacts]],
    build: config.BuildConfig,
) -> list[dict[str, Any]]:
    """Returns what the manifest says of the sources; content decides, not paths."""
    described: list[dict[str, Any]] = [
        {
            "name": source.name,
            "split": source.split or "by hash",
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
    if build.subwords.spm_model:
        path = pathlib.Path(build.subwords.spm_model)
        vocabulary.Vocabulary(path)  # refuses what is not a model
        described.append({"name": "spm_model", "sha256": files.sha256(path)})
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
    if differing:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--data_dir={target} was built otherwise ({'; '.join(differing)}); name "
            "another directory, or replace it with --overwrite",
        )
    return True


def _content(described: list[dict[str, Any]]) -> list[Any]:
    return [
        [source.get("split"), source.get("sha256")]
        + [file["sha256"] for file in source.get("files", [])]
        for source in described
    ]


def _write(
    directory: pathlib.Path,
    sources: list[corpora.Source],
    build: config.BuildConfig,
    settings: dict[str, Any],
    described: list[dict[str, Any]],
) -> manifest.Manifest:
    """Writes everything into a directory; the manifest last."""
    models = _models(directory, sources, build)
    splits = _shards(directory, sources, build, models)
    shards.check_not_empty(splits)
    entries = [_vocabulary_entry(path) for path in models]
    done = manifest.Manifest(
        format_version=manifest.FORMAT_VERSION,
        settings=settings,
        sources=described,
        special_ids=vocabulary.SPECIAL_IDS,
        src_vocabulary=entries[0],
        tgt_vocabulary=entries[1],
        splits=splits,
    )
    manifest.write(done, directory)
    return done


def _models(
    directory: pathlib.Path, sources: list[corpora.Source], build: config.BuildConfig
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes the SentencePiece models and returns where they are, source first."""
    shared = directory / "shared.model"
    if build.subwords.spm_model:
        shared.write_bytes(pathlib.Path(build.subwords.spm_model).read_bytes())
        paths = (shared, shared)
    elif build.subwords.shared_vocab:
        _learn(shared, sources, build, ("src", "tgt"))
        paths = (shared, shared)
    else:
        paths = (directory / "src.model", directory / "tgt.model")
        for path, side in zip(paths, ("src", "tgt"), strict=True):
            _learn(path, sources, build, (side,))
    for path in set(paths):
        _write_pieces(path)
        files.fsync(path)
    return paths


def _learn(
    path: pathlib.Path,
    sources: list[corpora.Source],
    build: config.BuildConfig,
    sides: tuple[str, ...],
) -> None:
    progress.logger.info("learning subwords: %s", path.name)
    texts = _training_texts(sources, build, sides)
    first = next(texts, None)
    if first is None:
        raise exits.Refusal(
            exits.BAD_DATA,
            "0 training examples: no line of the training files can be used"
            f"{_first_reason(sources, build)}; see --train_src, --train or --corpus",
        )
    model = subwords.learn(
        _chain(first, texts), build.subwords, sides[0], build.cleaning.max_bytes
    )
    path.write_bytes(model)


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _training_texts(
    sources: list[corpora.Source], build: config.BuildConfig, sides: tuple[str, ...]
) -> Iterator[str]:
    """Yields the usable training text of some sides, pair by pair."""
    for source in sources:
        for row in source.rows() if source.split in (None, "train") else ():
            if shards.split_of(source.split, row, build) != "train":
                continue
            pair = cleaning.clean_text(row, build.cleaning, keep=False)
            if isinstance(pair, cleaning.Pair):
                if "src" in sides:
                    yield pair.src
                if "tgt" in sides:
                    yield from pair.references


def _first_reason(sources: list[corpora.Source], build: config.BuildConfig) -> str:
    """Returns why the first training row was left out, as a phrase, if there is one."""
    for source in sources:
        for row in source.rows() if source.split in (None, "train") else ():
            reason = cleaning.clean_text(row, build.cleaning, keep=False)
            if isinstance(reason, str):
                return f" ({source.name}, line {row.line}: {reason})"
    return ""


def _write_pieces(model: pathlib.Path) -> None:
    """Writes the pieces and their scores as text beside the model, for people."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.read_bytes())
    pieces = (
        f"{processor.IdToPiece(index)}\t{processor.GetScore(index):.6g}\n"
        for index in range(processor.GetPieceSize())
    )
    model.with_suffix(".vocab").write_text("".join(pieces), "utf-8")


def _vocabulary_entry(path: pathlib.Path) -> manifest.Vocabulary:
    return manifest.Vocabulary(
        filename=path.name,
        sha256=files.sha256(path),
        size=vocabulary.Vocabulary(path).size,
    )


def _shards(
    directory: pathlib.Path,
    sources: list[corpora.Source],
    build: config.BuildConfig,
    models: tuple[pathlib.Path, pathlib.Path],
) -> dict[str, manifest.Split]:
    counts = dict.fromkeys(manifest.SPLITS, _NUM_HELD_OUT_SHARDS)
    counts["train"] = build.output.num_shards
    writer = shards.Writer(directory, counts)
    make_encoder = functools.partial(shards.Encoder, *models, build)
    num_workers = build.output.num_workers or os.cpu_count() or 1
    try:
        with progress.Progress("encoding", unit="pairs") as bar:
            stream = shards.chunks(sources)
            for outcomes in shards.encode_all(stream, make_encoder, num_workers):
                for outcome in outcomes:
                    writer.add(outcome)
                bar.update(len(outcomes))
        return writer.close()
    except BaseException:
        writer.abandon()
        raise


def _beside(target: pathlib.Path, suffix: str) -> pathlib.Path:
    return target.with_name(target.name + suffix)


def _recover(target: pathlib.Path) -> None:
    """Removes what killed builds left; the lock is held, so none of them is running."""
    for replaced in _left_over(target, "replaced"):
        if target.exists():
            shutil.rmtree(replaced)
        else:  # killed between the two renames of --overwrite
            replaced.rename(target)
    for stale in _left_over(target, "tmp"):
        shutil.rmtree(stale)


def _left_over(target: pathlib.Path, kind: str) -> list[pathlib.Path]:
    """Returns what builds of this target left: a process number ends the name."""
    pattern = re.compile(re.escape(f"{target.name}.{kind}-") + r"\d+")
    return [path for path in target.parent.iterdir() if pattern.fullmatch(path.name)]


def _commit(partial: pathlib.Path, target: pathlib.Path) -> None:
    """Gives a finished directory its name."""
    files.fsync(partial)
    # Between the renames a signal would leave neither directory in its place.
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        _swap(partial, target)
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


def _swap(partial: pathlib.Path, target: pathlib.Path) -> None:
    replaced = _beside(target, f".replaced-{os.getpid()}")
    if target.exists():
        target.rename(replaced)
    partial.rename(target)
    files.fsync(target.parent)
    if replaced.exists():
        shutil.rmtree(replaced)


def _table(done: manifest.Manifest) -> str:
    """Returns what became of every pair, as a table."""
    lines = [f"{'split':8}{'pairs read':>12}{'written':>12}{'left out':>12}  reasons"]
    for name, split in done.splits.items():
        left_out = sum(split.rejects.values())
        reasons = ", ".join(f"{why} {count:,}" for why, count in split.rejects.items())
        lines.append(
            f"{name:8}{split.pairs_read:12,}{split.num_records:12,}{left_out:12,}"
            f"  {reasons or '-'}"
        )
    sizes = {done.src_vocabulary.filename: done.src_vocabulary.size}
    sizes[done.tgt_vocabulary.filename] = done.tgt_vocabulary.size
    told = ", ".join(f"{name} {size:,} pieces" for name, size in sizes.items())
    return "\n".join([*lines, told])


def _stop(number: int, _: object) -> NoReturn:
    raise exits.Refusal(
        exits.PREEMPTED,
        f"stopped by {signal.Signals(number).name}; nothing was changed, the same "
        "command begins again",
    )


if __name__ == "__main__":
    progress.configure_logging()
    asked = binding.parse_or_exit(sys.argv, config.BuildConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, asked)))
