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

import base64
import functools
import json
import logging
import pathlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.runners import runner

from pipeline import directories, exits, manifest, progress
from preprocessing import (
    accounts,
    beam_shards,
    beam_store,
    beam_work,
    chunk_places,
    config,
    corpora,
    encoder,
    lines,
    training_text,
)

_TOLD = re.compile(r"sluice-refusal:([A-Za-z0-9+/=]+):")


class BeamRunner:
    """Has the work of a build done by an engine that Apache Beam drives."""

    def __init__(self, build: config.BuildConfig) -> None:
        """Checks the engine's options; nothing is read yet.

        Raises:
            exits.Refusal: If the engine has no such option.
        """
        self._build = build
        self._options = _options(build)
        target = build.output.path.absolute()
        self._folder = directories.scratch(target)
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
        shutil.rmtree(self._folder, ignore_errors=True)

    def survey(self, sources: Sequence[corpora.Source]) -> list[list[lines.FileFacts]]:
        """Reads every file once, ranges of it at once."""
        self._sources = list(sources)
        beam_store.put(self._scratch, "job", beam_work.Job(self._build, self._sources))
        asked = list(beam_work.questions(self._sources))
        with self._pipeline("reading") as pipeline:
            answers = pipeline | beam.Create(asked) | beam.Reshuffle()
            answers = answers | _each("Survey", beam_work.survey, self._scratch)
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

    def label_names(self) -> set[str]:
        """Returns the names of the classes in the training rows."""
        with self._pipeline("looking for labels") as pipeline:
            found = (
                self._chunks(pipeline, train=True)
                | _each("Labels", beam_work.label_names, self._scratch)
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
                | _each("Fingerprints", beam_work.fingerprints, self._scratch)
                | beam.GroupByKey()
                | _tagged(("overlap", "marks"), beam_work.resolve, self._build.cleaning)
            )
            blocks = found.marks | "ByBlock" >> beam.GroupByKey()
            blocks | _each("PutMarks", beam_work.put_marks, self._scratch)
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
                | _each("Count", beam_work.num_training_rows, self._scratch)
                | beam.CombineGlobally(sum)
                | beam.WithKeys(0)
            )
            self._put(found, "count")
        return sum(self._left("count"))

    def training_texts(self, sides: tuple[str, ...], share: float) -> Iterator[str]:
        """Yields the usable training text of some sides, of a share of the pairs."""
        folder = "-".join(("texts", *sides))
        with self._pipeline("drawing text") as pipeline:
            found = self._chunks(pipeline, train=True) | _each(
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
            for chunk in corpora.chunks(self._sources, longest)
        )
        return next(filter(None, reasons), "")

    def encode(
        self, recipe: encoder.Recipe, directory: pathlib.Path
    ) -> tuple[dict[str, manifest.Split], list[accounts.Account]]:
        """Writes the shards; returns what became of each split and each source."""
        beam_store.put(self._scratch, "recipe", recipe)
        num_shards = dict(recipe.num_shards)
        with self._pipeline("encoding") as pipeline:
            found = self._chunks(pipeline) | _tagged(
                ("parts", "counts", "rejects"), beam_work.encode, self._scratch
            )
            written = (
                found.parts
                | "ByShard" >> beam.GroupByKey()
                | _tagged(
                    ("shards", "lengths"),
                    beam_shards.write,
                    str(directory),
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
        return beam_shards.finish(directory, self._scratch, recipe, num_sources)

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
            | _each("Chunks", beam_work.chunks, self._scratch)
            | "SpreadChunks" >> beam.Reshuffle()
            | _each("Read", beam_work.read, self._scratch)
        )

    def _put(self, numbered: Any, name: str) -> None:
        """Leaves (number, value) pairs for this process, a file for each number."""
        folder = f"{self._scratch}/{name}"
        grouped = numbered | f"Group {name}" >> beam.GroupByKey()
        _ = grouped | _each(f"Put {name}", beam_work.put, folder)

    def _left(self, name: str) -> Iterator[Any]:
        for _, values in beam_store.each(f"{self._scratch}/{name}"):
            yield from values

    def _pipeline(self, what: str) -> "_Pipeline":
        progress.logger.info("%s: %s", self._build.runner.engine, what)
        return _Pipeline(self._options)


class _Pipeline:
    """A pipeline that runs when its block ends, and whose workers can refuse."""

    def __init__(self, options: pipeline_options.PipelineOptions) -> None:
        self._pipeline = beam.Pipeline(options=options)

    def __enter__(self) -> beam.Pipeline:
        return self._pipeline

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            return
        try:
            self._pipeline.run().wait_until_finish()
        except exits.Refusal:
            raise
        except Exception as failure:
            told = _TOLD.search(str(failure))
            if told is None:
                raise
            code, message = json.loads(base64.b64decode(told.group(1)))
            raise exits.Refusal(code, message) from None


class _Step:
    """A function of an element, as a worker calls it.

    Whatever the engine, all that comes back of an exception is its text; so a refusal
    is put into it.
    """

    def __init__(
        self,
        function: Callable[..., Iterable[Any]],
        given: tuple[Any, ...],
        *,
        tagged: bool,
    ) -> None:
        self._function = function
        self._given = given
        self._tagged = tagged

    def __call__(self, element: Any) -> Iterator[Any]:
        try:
            for found in self._function(*self._given, element):
                yield beam.pvalue.TaggedOutput(*found) if self._tagged else found
        except exits.Refusal as refusal:
            raise _told(refusal.code, str(refusal)) from None
        except OSError as error:
            code = exits.code_of(error)
            if code is None:
                raise
            line = f"{error.filename or 'a file'}: {error.strerror}"
            raise _told(code, line) from None


def _told(code: int, message: str) -> RuntimeError:
    content = base64.b64encode(json.dumps([code, message]).encode()).decode()
    return RuntimeError(f"sluice-refusal:{content}: {message}")


def _each(name: str, function: Callable[..., Iterable[Any]], *given: Any) -> Any:
    """Returns the transform that calls function(*given, element)."""
    return name >> beam.FlatMap(_Step(function, given, tagged=False))


def _tagged(
    names: Sequence[str], function: Callable[..., Iterable[Any]], *given: Any
) -> Any:
    """Returns the same for a function that yields (name of an output, element)."""
    step = beam.FlatMap(_Step(function, given, tagged=True))
    return "And".join(names) >> step.with_outputs(*names)


def _options(build: config.BuildConfig) -> pipeline_options.PipelineOptions:
    """Returns what the engine is told.

    Raises:
        exits.Refusal: If there is no such engine, or if that of this machine has no
            such option; others get options that only they know.
    """
    engine, given = build.runner.engine, build.runner.beam_options
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    try:
        runner.create_runner(engine)
    except (ValueError, ImportError) as error:
        raise exits.Refusal(exits.USAGE, f"--beam_runner={engine}: {error}") from None
    parser = pipeline_options._BeamArgumentParser()
    for group in pipeline_options.PipelineOptions.__subclasses__():
        if hasattr(group, "_add_argparse_args"):
            group._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(given))
    if unknown and engine == "DirectRunner":
        raise exits.Refusal(
            exits.USAGE, f"--beam_options={unknown[0]}: {engine} has no such option"
        )
    options = pipeline_options.PipelineOptions([f"--runner={engine}", *given])
    worker = options.view_as(pipeline_options.WorkerOptions)
    worker.default_sdk_harness_log_level = (
        worker.default_sdk_harness_log_level or "CRITICAL"
    )
    if engine == "DirectRunner":
        # Or Beam would try another engine first, which it gets from the network.
        options.view_as(pipeline_options.TypeOptions).allow_unsafe_triggers = True
    return options


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
