"""The local runner: processes of this machine, their results in the order read."""

import functools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

from pipeline import manifest, progress
from preprocessing import (
    accounts,
    chunks,
    config,
    corpora,
    duplicates,
    encoder,
    lines,
    shards,
    training_text,
    workers,
)


class LocalRunner:
    """Does the work of a build with the cores of this machine."""

    def __init__(self, build: config.BuildConfig) -> None:
        """Starts the processes; nothing is read yet."""
        self._build = build
        self._pool = workers.Pool(build.output.num_workers or os.cpu_count() or 1)
        self._sources: Sequence[corpora.Source] = ()
        self._num_rows: list[int | None] = []
        self._marks = duplicates.Marks()

    def __enter__(self) -> "LocalRunner":
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the processes."""
        self._pool.__exit__(kind, error, trace)

    def survey(self, sources: Sequence[corpora.Source]) -> list[list[lines.FileFacts]]:
        """Reads every file to its end, before anything is written."""
        shards.allow_open(
            self._build.output.num_shards, self._build.subwords.subword_samples
        )
        self._sources = sources
        limit = self._build.corpus.max_reject_fraction
        longest = self._build.cleaning.max_bytes
        facts = []
        with progress.Progress("reading", unit="sources", total=len(sources)) as bar:
            for source in sources:
                facts.append(corpora.survey(source, longest, limit))
                bar.update()
        self._num_rows = [
            corpora.num_rows(source, group)
            for source, group in zip(sources, facts, strict=True)
        ]
        return facts

    def label_names(self, renamed: dict[str, str] | None) -> set[str]:
        """Returns the names of the classes in training rows and rows dealt by hash."""
        names = set()
        for chunk in self._chunks():
            names |= training_text.label_names(chunk, self._build, renamed)
        return names

    def find_marks(self, scratch: pathlib.Path) -> dict[str, Any]:
        """Finds which rows are duplicates or held out too; returns the overlap."""
        with self._bar("finding duplicates") as bar:

            def fingerprints() -> Iterator[Any]:
                for chunk, found in self._pool.map(
                    duplicates.fingerprinter, self._build, self._chunks()
                ):
                    bar.update(chunk)
                    yield found

            total = self._total(self._sources)
            self._marks = duplicates.find(
                fingerprints(), scratch, self._build.cleaning, total
            )
        return self._marks.overlap

    def num_training_rows(self) -> int:
        """Returns how many rows can train, valid and test shares included."""
        total = self._total(source for source in self._sources if source.may_train)
        return self._counted if total is None else total

    def training_texts(self, sides: tuple[str, ...], share: float) -> Iterator[str]:
        """Yields the usable training text of some sides, of a share of the pairs."""
        for chunk in self._chunks():
            marks = self._marks.of(chunk)
            yield from training_text.texts(chunk, marks, self._build, sides, share)

    def first_reason(self) -> str:
        """Returns why the first training row was left out, as a phrase."""
        reasons = (
            training_text.first_reason(chunk, self._marks.of(chunk), self._build)
            for chunk in self._chunks()
        )
        return next(filter(None, reasons), "")

    def encode(
        self, recipe: encoder.Recipe, directory: pathlib.Path
    ) -> tuple[dict[str, manifest.Split], list[accounts.Account]]:
        """Writes the shards; returns what became of each split and each source."""
        drawn = self._build.subwords.subword_samples
        writer = shards.Writer(
            directory, dict(recipe.num_shards), max(1, drawn), len(self._sources)
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
            # A network file system keeps a folder as long as a file in it is mapped.
            self._marks = duplicates.Marks()

    def _chunks(self) -> Iterator[chunks.Chunk]:
        return chunks.of_sources(self._sources, self._build.cleaning.max_bytes)

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

    def _bar(self, what: str) -> progress.Progress:
        return progress.Progress(what, unit="pairs", total=self._total(self._sources))

    @functools.cached_property
    def _counted(self) -> int:
        return sum(
            1
            for chunk in self._chunks()
            for _ in training_text.training_rows(
                chunk, self._marks.of(chunk), self._build
            )
        )
