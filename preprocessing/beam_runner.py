"""The Beam runner: the same work, by an engine that has many machines.

Every step is a pipeline of its own; what it leaves for the next is in a folder beside
the data directory, which all workers must be able to read and write.

    survey     ranges of files -> lines, hashes
    labels     chunks -> names, each once
    marks      chunks -> hashes -> equal ones together -> overlap; marks by chunk
    texts      chunks -> a sample, which one process learns subwords from
    encode     chunks -> records -> by shard -> a file each; counts, added up; rejects

https://beam.apache.org/documentation/programming-guide
"""

import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import apache_beam as beam

from pipeline import directories, locations, manifest, progress
from preprocessing import (
    accounts,
    beam_engine,
    beam_shards,
    beam_store,
    beam_work,
    chunk_places,
    chunks,
    config,
    corpora,
    encoder,
    lines,
    training_text,
)


class BeamRunner:
    """Has the work of a build done by an engine that Apache Beam drives."""

    def __init__(self, build: config.BuildConfig) -> None:
        """Checks the engine's options; nothing is read yet.

        Raises:
            exits.Refusal: If the engine has no such option.
        """
        self._build = build
        self._options = beam_engine.options(build.runner)
        self._target = build.output.location
        self._folder = directories.scratch(self._target)
        self._scratch = str(self._folder)
        self._sources: list[corpora.Source] = []
        self._known: list[int | None] = []

    def __enter__(self) -> "BeamRunner":
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Removes what steps left for each other."""
        if isinstance(self._folder, locations.RemotePath):
            self._folder.remove_tree()
        else:
            shutil.rmtree(self._folder, ignore_errors=True)

    def survey(self, sources: Sequence[corpora.Source]) -> list[list[lines.FileFacts]]:
        """Reads every file to its end, ranges of it at once."""
        self._sources = list(sources)
        beam_store.put(self._scratch, "job", beam_work.Job(self._build, self._sources))
        asked = list(beam_work.questions(self._sources))
        with self._pipeline("reading") as pipeline:
            answers = pipeline | beam.Create(asked) | beam.Reshuffle()
            answers = answers | beam_engine.each(
                "Survey", beam_work.survey, self._scratch
            )
            self._put(answers, "survey")
        found = dict(beam_store.each(f"{self._scratch}/survey"))
        facts, num_rows = [], []
        for number, source in enumerate(self._sources):
            group, counted = _assembled(source, found.get(number, []), self._build)
            facts.append(group)
            self._known.append(corpora.num_rows(source, group))
            known = self._known[-1]
            num_rows.append(counted if known is None else known)
        numbers = beam_work.Numbers(num_rows, chunk_places.firsts(num_rows))
        beam_store.put(self._scratch, "numbers", numbers)
        return facts

    def label_names(self, renamed: dict[str, str] | None) -> set[str]:
        """Returns the names of the classes in rows that are not given as held out."""
        with self._pipeline("looking for labels") as pipeline:
            found = (
                self._chunks(pipeline, train=True)
                | beam_engine.each(
                    "Labels", beam_work.label_names, self._scratch, renamed
                )
                | beam.Distinct()
                | beam.WithKeys(0)
            )
            self._put(found, "labels")
        return set(self._left("labels"))

    def find_marks(self, scratch: pathlib.Path) -> dict[str, Any]:
        """Finds which rows are duplicates or held out too; returns the overlap."""
        del scratch  # of one process
        with self._pipeline("finding duplicates") as pipeline:
            found = (
                self._chunks(pipeline)
                | beam_engine.each(
                    "Fingerprints", beam_work.fingerprints, self._scratch
                )
                | beam.GroupByKey()
                | beam_engine.tagged(
                    ("overlap", "marks"), beam_work.resolve, self._build.cleaning
                )
            )
            blocks = found.marks | "ByBlock" >> beam.GroupByKey()
            blocks | beam_engine.each("PutMarks", beam_work.put_marks, self._scratch)
            totals = found.overlap | beam.CombinePerKey(sum) | beam.WithKeys(0)
            self._put(totals, "overlap")
        overlap = {name: {"pairs": 0, "sources": 0} for name in manifest.SPLITS[1:]}
        for (split, what), count in self._left("overlap"):
            overlap[split][what] = count
        return overlap

    def num_training_rows(self) -> int:
        """Returns how many rows can train, valid and test shares included."""
        known = [
            rows
            for source, rows in zip(self._sources, self._known, strict=True)
            if source.may_train
        ]
        if None not in known:
            return sum(filter(None, known))
        return self._counted

    @functools.cached_property
    def _counted(self) -> int:
        with self._pipeline("counting") as pipeline:
            found = (
                self._chunks(pipeline, train=True)
                | beam_engine.each("Count", beam_work.num_training_rows, self._scratch)
                | beam.CombineGlobally(sum)
                | beam.WithKeys(0)
            )
            self._put(found, "count")
        return sum(self._left("count"))

    def training_texts(self, sides: tuple[str, ...], share: float) -> Iterator[str]:
        """Yields the usable training text of some sides, of a share of the pairs."""
        folder = "-".join(("texts", *sides))
        with self._pipeline("drawing text") as pipeline:
            found = self._chunks(pipeline, train=True) | beam_engine.each(
                "Texts", beam_work.texts, self._scratch, sides, share
            )
            self._put(found, folder)
        for _, texts in self._left(folder):
            yield from texts

    def first_reason(self) -> str:
        """Returns why the first training row was left out, as a phrase."""
        longest = self._build.cleaning.max_bytes
        reasons = (
            training_text.first_reason(
                chunk, beam_work.marks_of(self._scratch, chunk), self._build
            )
            for chunk in chunks.of_sources(self._sources, longest)
        )
        return next(filter(None, reasons), "")

    def encode(
        self, recipe: encoder.Recipe, directory: pathlib.Path
    ) -> tuple[dict[str, manifest.Split], list[accounts.Account]]:
        """Writes the shards; returns what became of each split and each source.

        Those of a remote data directory are written there at once.
        """
        made_in: locations.Location = directory
        if isinstance(self._target, locations.RemotePath):
            made_in = self._target
            recipe = self._with_remote_models(recipe)
        beam_store.put(self._scratch, "recipe", recipe)
        num_shards = dict(recipe.num_shards)
        with self._pipeline("encoding") as pipeline:
            found = self._chunks(pipeline) | beam_engine.tagged(
                ("parts", "counts", "rejects"), beam_work.encode, self._scratch
            )
            written = (
                found.parts
                | "ByShard" >> beam.GroupByKey()
                | beam_engine.tagged(
                    ("shards", "lengths"),
                    beam_shards.write,
                    str(made_in),
                    num_shards,
                )
            )
            self._put(written.shards, "shards")
            for name, counts in (
                ("counts", found.counts),
                ("lengths", written.lengths),
            ):
                totals = counts | f"Add {name}" >> beam.CombinePerKey(sum)
                self._put(totals | f"All {name}" >> beam.WithKeys(0), name)
            self._put(found.rejects, "rejects")
        num_sources = len(self._sources)
        return beam_shards.finish(made_in, self._scratch, recipe, num_sources)

    def _with_remote_models(self, recipe: encoder.Recipe) -> encoder.Recipe:
        """Puts the models where every worker can read them."""
        moved: dict[str, Any] = {}
        for side in ("src_model", "tgt_model"):
            path = getattr(recipe, side)
            if path is not None:
                moved[side] = locations.locate(f"{self._scratch}/{path.name}")
                moved[side].write_bytes(path.read_bytes())
        return dataclasses.replace(recipe, **moved)

    def _chunks(self, pipeline: beam.Pipeline, *, train: bool = False) -> Any:
        """Returns the chunks of all sources, or of those that can train."""
        numbers = [
            number
            for number, source in enumerate(self._sources)
            if source.may_train or not train
        ]
        return (
            pipeline
            | beam.Create(numbers)
            | "SpreadSources" >> beam.Reshuffle()
            | beam_engine.each("Chunks", beam_work.chunks, self._scratch)
            | "SpreadChunks" >> beam.Reshuffle()
            | beam_engine.each("Read", beam_work.read, self._scratch)
        )

    def _put(self, numbered: Any, name: str) -> None:
        """Leaves (number, value) pairs for this process, a file for each number."""
        folder = f"{self._scratch}/{name}"
        grouped = numbered | f"Group {name}" >> beam.GroupByKey()
        _ = grouped | beam_engine.each(f"Put {name}", beam_work.put, folder)

    def _left(self, name: str) -> Iterator[Any]:
        for _, values in beam_store.each(f"{self._scratch}/{name}"):
            yield from values

    def _pipeline(self, what: str) -> beam_engine.Pipeline:
        progress.logger.info("%s: %s", self._build.runner.engine, what)
        return beam_engine.Pipeline(self._options)


def _assembled(
    source: corpora.Source,
    answers: Sequence[tuple[beam_work.Question, Any]],
    build: config.BuildConfig,
) -> tuple[list[lines.FileFacts], int]:
    """Returns the facts of a source's files, and how many rows a parser found.

    Raises:
        exits.Refusal: If a file is mostly undecodable, or the sides have different
            numbers of lines.
    """
    facts = []
    limit = build.corpus.max_reject_fraction
    for file, path in enumerate(source.files):
        own = [(asked, answer) for asked, answer in answers if asked.file == file]
        (fact,) = [answer for asked, answer in own if asked.kind == beam_work.FACTS]
        if source.encodings:
            tallies = [
                answer.tally for asked, answer in own if asked.kind == beam_work.RANGE
            ]
            lines.check_decodable(path, tallies, limit, source.encodings[file])
            fact = fact._replace(lines=sum(tally.lines for tally in tallies))
        facts.append(fact)
    if source.encodings:
        corpora.check_same_lines(facts)
    rows = [answer for asked, answer in answers if asked.kind == beam_work.ROWS]
    return facts, sum(rows)
