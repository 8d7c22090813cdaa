"""Making a data directory: what is done once it is clear what to read.

rows -> labels' names -> marks of duplicates -> subword models -> shards -> manifest
"""

import functools
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sentencepiece

from pipeline import exits, files, manifest, progress, vocabulary
from preprocessing import (
    cleaning,
    config,
    corpora,
    duplicates,
    encoder,
    labels,
    rows,
    shards,
    splitting,
    subwords,
    workers,
)

_NUM_HELD_OUT_SHARDS = 1  # of valid and test each


class Making:
    """A data directory in the making."""

    def __init__(
        self,
        directory: pathlib.Path,
        build: config.BuildConfig,
        sources: Sequence[corpora.Source],
        num_rows: Sequence[int | None],
        pool: workers.Pool,
    ) -> None:
        """Takes what is needed; nothing is read or written yet.

        Args:
            directory: An empty one.
            build: The settings.
            sources: What is read.
            num_rows: Rows of each source, None where only reading it can tell.
            pool: Who does the work.
        """
        self._directory = directory
        self._build = build
        self._sources = sources
        self._num_rows = num_rows
        self._pool = pool
        self._marks = duplicates.Marks()

    def run(
        self, settings: dict[str, Any], described: list[dict[str, Any]]
    ) -> manifest.Manifest:
        """Writes everything; the manifest last.

        Args:
            settings: What the manifest says of the settings.
            described: What it says of the sources.

        Raises:
            exits.Refusal: If the data cannot be made into a data directory.
        """
        label_names = self._label_names()
        scratch = self._directory / "scratch"
        scratch.mkdir()
        self._marks = self._find_marks(scratch)
        models = self._models()
        splits, accounts = self._encode(models, label_names)
        shutil.rmtree(scratch)
        names = [source.name for source in self._sources]
        limit = self._build.corpus.max_reject_fraction
        for line in shards.check_losses(names, accounts, limit):
            progress.logger.warning("%s", line)
        shards.check_not_empty(splits)
        for entry, account in zip(described, accounts, strict=False):
            entry.update(account.as_json())
        entries = [_vocabulary_entry(path) for path in models]
        done = manifest.Manifest(
            format_version=manifest.FORMAT_VERSION,
            settings=settings,
            sources=described,
            special_ids=vocabulary.SPECIAL_IDS,
            src_vocabulary=entries[0],
            tgt_vocabulary=entries[1] if len(entries) > 1 else None,
            splits=splits,
            label_names=list(label_names),
            overlap=self._marks.overlap,
        )
        manifest.write(done, self._directory)
        return done

    def _total(self, chosen: Iterable[corpora.Source]) -> int | None:
        """Returns the number of rows of some sources, None where it is not known."""
        wanted = set(map(id, chosen))
        counts = [
            count
            for source, count in zip(self._sources, self._num_rows, strict=True)
            if id(source) in wanted
        ]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def _chunks(self) -> Iterator[corpora.Chunk]:
        return corpora.chunks(self._sources, self._build.cleaning.max_bytes)

    def _bar(self, what: str) -> progress.Progress:
        return progress.Progress(what, unit="pairs", total=self._total(self._sources))

    def _label_names(self) -> tuple[str, ...]:
        """Returns the names of the classes, by id: those of the training rows."""
        task = self._build.task
        if task.task != "labels":
            return ()
        if task.label_names:
            return task.label_names
        renamed = labels.renaming(task)
        names = set()
        for chunk, row in self._training_rows():
            pair = cleaning.clean_text(row, self._build.cleaning, keep=False)
            if isinstance(pair, cleaning.Pair):
                try:
                    names.add(labels.rename(pair.references[0], renamed))
                except labels.UnknownLabelError as error:
                    raise exits.Refusal(
                        exits.BAD_DATA, f"{chunk.name}, line {row.line}: {error}"
                    ) from None
        return tuple(labels.in_order(names))

    def _find_marks(self, scratch: pathlib.Path) -> duplicates.Marks:
        """Returns which rows are duplicates or in valid or test."""
        corpus, bounds = self._build.corpus, self._build.cleaning
        held_out = any(not source.may_train for source in self._sources)
        dealt = bool(corpus.valid_fraction or corpus.test_fraction)
        # Dealt by their source, equal pairs are in one split.
        possible = held_out or (dealt and corpus.split_by == "line")
        if not (bounds.dedup or possible):
            return duplicates.Marks()
        with self._bar("finding duplicates") as bar:

            def fingerprints() -> Iterator[Any]:
                for chunk, found in self._pool.map(
                    duplicates.fingerprinter, self._build, self._chunks()
                ):
                    bar.update(chunk)
                    yield found

            total = self._total(self._sources)
            return duplicates.find(fingerprints(), scratch, bounds, total)

    def _encode(
        self, models: Sequence[pathlib.Path], label_names: tuple[str, ...]
    ) -> tuple[dict[str, manifest.Split], list[shards.Account]]:
        """Writes the shards; returns what became of each split and each source."""
        counts = dict.fromkeys(manifest.SPLITS, _NUM_HELD_OUT_SHARDS)
        counts["train"] = self._build.output.num_shards
        drawn = self._build.subwords.subword_samples
        writer = shards.Writer(
            self._directory, counts, max(1, drawn), len(self._sources)
        )
        recipe = encoder.Recipe(
            src_model=models[0],
            tgt_model=models[1] if len(models) > 1 else None,
            label_names=label_names,
            num_shards=tuple(counts.items()),
            build=self._build,
        )
        work = (encoder.Work(chunk, self._marks.of(chunk)) for chunk in self._chunks())
        try:
            with self._bar("encoding") as bar:
                for encoded in self._pool.map(encoder.make, recipe, work):
                    writer.add(encoded)
                    bar.update(encoded.num_rows)
            return writer.close(), writer.accounts
        finally:
            writer.abandon()

    def _models(self) -> tuple[pathlib.Path, ...]:
        """Writes the SentencePiece models and returns where they are, source first."""
        settings = self._build.subwords
        shared = self._directory / "shared.model"
        paths: tuple[pathlib.Path, ...]
        if self._build.task.task == "labels":
            paths = (self._directory / "src.model",)
            wanted: list[tuple[pathlib.Path, tuple[str, ...]]] = [(paths[0], ("src",))]
        elif settings.spm_model or settings.shared_vocab:
            paths = (shared, shared)
            wanted = [(shared, ("src", "tgt"))]
        else:
            paths = (self._directory / "src.model", self._directory / "tgt.model")
            wanted = [(paths[0], ("src",)), (paths[1], ("tgt",))]
        for path, sides in wanted:
            if settings.spm_model:
                shutil.copyfile(settings.spm_model, path)
            else:
                self._learn(path, sides)
            _write_pieces(path)
            files.fsync(path)
        return paths

    def _learn(self, path: pathlib.Path, sides: tuple[str, ...]) -> None:
        total = self._num_training_rows()
        sample = self._build.subwords.spm_sample
        share = min(1.0, sample / total) if sample and total else 1.0
        of = f", from about {sample:,} of {total:,} pairs" if share < 1 else ""
        progress.logger.info("learning subwords: %s%s", path.name, of)
        texts = self._training_texts(sides, share)
        first = next(texts, None)
        if first is None:
            raise exits.Refusal(
                exits.BAD_DATA,
                "0 training examples: no line of the training files can be used"
                f"{self._first_reason()}; see --train_src, --train or --corpus",
            )
        model = subwords.learn(
            _chain(first, texts),
            self._build.subwords,
            sides[0],
            self._build.cleaning.max_bytes,
        )
        path.write_bytes(model)

    def _training_rows(self) -> Iterator[tuple[corpora.Chunk, rows.Row]]:
        """Yields the rows of the training split that are no duplicates."""
        for chunk in self._chunks():
            if chunk.split not in (None, "train"):
                continue
            marks = self._marks.of(chunk) or bytes(chunk.size)
            found = chunk.rows()
            splits = splitting.splits_of(chunk, found, self._build)
            for row, split, mark in zip(found, splits, marks, strict=True):
                if split == "train" and not mark:
                    yield chunk, row

    @functools.cached_property
    def _counted(self) -> int:
        return sum(1 for _ in self._training_rows())

    def _num_training_rows(self) -> int:
        """Returns how many rows can train, valid and test shares included."""
        total = self._total(source for source in self._sources if source.may_train)
        return self._counted if total is None else total

    def _training_texts(self, sides: tuple[str, ...], share: float) -> Iterator[str]:
        """Yields the usable training text of some sides, of a share of the pairs."""
        seed = self._build.output.seed
        for _, row in self._training_rows():
            key = b"\n".join((row.line.to_bytes(8, "little"), row.src))
            if share < 1 and splitting.draw(key, seed, b"subwords") >= share:
                continue
            pair = cleaning.clean_text(row, self._build.cleaning, keep=False)
            if isinstance(pair, cleaning.Pair):
                if "src" in sides:
                    yield pair.src
                if "tgt" in sides:
                    yield from pair.references

    def _first_reason(self) -> str:
        """Returns why the first training row was left out, as a phrase."""
        for chunk, row in self._training_rows():
            reason = cleaning.clean_text(row, self._build.cleaning, keep=False)
            if isinstance(reason, str):
                return f" ({chunk.name}, line {row.line}: {reason})"
        return ""


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


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
