"""Making a data directory: what is done once it is clear what to read.

rows -> labels' names -> marks of duplicates -> subword models -> shards -> manifest

What looks at every row is a runner's work, the rest is done here.
"""

import itertools
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol

import sentencepiece

from pipeline import exits, files, manifest, progress, vocabulary
from preprocessing import accounts as accounts_lib
from preprocessing import (
    config,
    corpora,
    encoder,
    labels,
    lines,
    shards,
    subwords,
)

_NUM_HELD_OUT_SHARDS = 1  # of valid and test each


class Runner(Protocol):
    """Who looks at every row. The result does not depend on who it is.

    The steps come in this order; `find_marks` and `label_names` only where needed.
    """

    def __enter__(self) -> "Runner":
        """Returns itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives back what it holds."""

    def survey(self, sources: Sequence[corpora.Source]) -> list[list[lines.FileFacts]]:
        """Reads every file to its end, before anything is written.

        Raises:
            exits.Refusal: If a file is not what its flags say.
        """

    def label_names(self, renamed: dict[str, str] | None) -> set[str]:
        """Returns the names of the classes in training rows and rows dealt by hash.

        Args:
            renamed: See `labels.renaming`.
        """

    def find_marks(self, scratch: pathlib.Path) -> dict[str, Any]:
        """Finds which rows are duplicates or held out too; returns the overlap.

        Args:
            scratch: An empty directory, there until the shards are written.
        """

    def num_training_rows(self) -> int:
        """Returns how many rows can train.

        Those of all lines if lines can be counted, valid and test shares included; else
        of the training rows that are no duplicates.
        """

    def training_texts(self, sides: tuple[str, ...], share: float) -> Iterator[str]:
        """Yields the usable training text of some sides, in order.

        Args:
            sides: `src`, `tgt` or both.
            share: Of the pairs, drawn by hash.
        """

    def first_reason(self) -> str:
        """Returns why the first training row was left out, as a phrase."""

    def encode(
        self, recipe: encoder.Recipe, directory: pathlib.Path
    ) -> tuple[dict[str, manifest.Split], list[accounts_lib.Account]]:
        """Writes shards, sidecars and rejects.

        Returns:
            What became of each split and of each source.
        """


class Making:
    """A data directory in the making."""

    def __init__(
        self,
        directory: pathlib.Path,
        build: config.BuildConfig,
        sources: Sequence[corpora.Source],
        runner: Runner,
    ) -> None:
        """Takes what is needed; nothing is read or written yet.

        Args:
            directory: An empty one.
            build: The settings.
            sources: What is read.
            runner: Who does the work; it has surveyed the sources.
        """
        self._directory = directory
        self._build = build
        self._sources = sources
        self._runner = runner

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
        renamed = labels.renaming(self._build.task)
        label_names = self._label_names(renamed)
        scratch = self._directory / "scratch"
        scratch.mkdir()
        overlap = self._runner.find_marks(scratch) if self._needs_marks() else {}
        models = self._models()
        splits, accounts = self._encode(models, label_names, renamed)
        shutil.rmtree(scratch)
        self._check(splits, accounts)
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
            overlap=overlap,
        )
        manifest.write(done, self._directory)
        return done

    def _encode(
        self,
        models: Sequence[pathlib.Path],
        label_names: tuple[str, ...],
        renamed: dict[str, str] | None,
    ) -> tuple[dict[str, manifest.Split], list[accounts_lib.Account]]:
        """Has the shards written; returns what became of each split and source."""
        recipe = encoder.Recipe(
            src_model=models[0],
            tgt_model=models[1] if len(models) > 1 else None,
            label_names=label_names,
            renamed=None if renamed is None else tuple(renamed.items()),
            num_shards=tuple(self._num_shards().items()),
            build=self._build,
        )
        return self._runner.encode(recipe, self._directory)

    def _check(
        self,
        splits: dict[str, manifest.Split],
        accounts: list[accounts_lib.Account],
    ) -> None:
        """Warns of rows that sources lost, and refuses if they are too many or all."""
        names = [source.name for source in self._sources]
        limit = self._build.corpus.max_reject_fraction
        for line in shards.check_losses(names, accounts, limit):
            progress.logger.warning("%s", line)
        shards.check_not_empty(splits)

    def _num_shards(self) -> dict[str, int]:
        counts = dict.fromkeys(manifest.SPLITS, _NUM_HELD_OUT_SHARDS)
        counts["train"] = self._build.output.num_shards
        return counts

    def _label_names(self, renamed: dict[str, str] | None) -> tuple[str, ...]:
        """Returns the names of the classes, by id: see `Runner.label_names`."""
        task = self._build.task
        if task.task != "labels":
            return ()
        if task.label_names:
            return task.label_names
        return tuple(labels.in_order(self._runner.label_names(renamed)))

    def _needs_marks(self) -> bool:
        """Returns whether a row can be a duplicate, or in two splits."""
        corpus = self._build.corpus
        held_out = any(not source.may_train for source in self._sources)
        dealt = bool(corpus.valid_fraction or corpus.test_fraction)
        # Dealt by their source, equal pairs are in one split.
        possible = held_out or (dealt and corpus.split_by == "line")
        return self._build.cleaning.dedup or possible

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
            if given := settings.given(sides[0]):
                shutil.copyfile(given, path)
            else:
                self._learn(path, sides)
            _write_pieces(path)
            files.fsync(path)
        return paths

    def _learn(self, path: pathlib.Path, sides: tuple[str, ...]) -> None:
        total = self._runner.num_training_rows()
        sample = self._build.subwords.spm_sample
        share = min(1.0, sample / total) if sample and total else 1.0
        of = f", from about {sample:,} of {total:,} pairs" if share < 1 else ""
        progress.logger.info("learning subwords: %s%s", path.name, of)
        texts = self._runner.training_texts(sides, share)
        first = next(texts, None)
        if first is None:
            raise exits.Refusal(
                exits.BAD_DATA,
                "0 training examples: no line of the training files can be used"
                f"{self._runner.first_reason()}; see --train_src, --train or --corpus",
            )
        model = subwords.learn(
            itertools.chain([first], texts),
            self._build.subwords,
            sides[0],
            self._build.cleaning.max_bytes,
        )
        files.write_bytes(path, model)


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
