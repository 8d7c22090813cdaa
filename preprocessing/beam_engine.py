"""Engines behind Beam: what they are told, and how their workers call and refuse."""

import base64
import contextlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.runners import runner

from pipeline import exits
from preprocessing import runner_config

_REFUSAL = re.compile(r"sluice-refusal:([A-Za-z0-9+/=]+):")


class Pipeline:
    """A pipeline that runs when its block ends, and whose workers can refuse."""

    def __init__(self, told: pipeline_options.PipelineOptions) -> None:
        """Args: told: see `options`."""
        self._pipeline = beam.Pipeline(options=told)

    def __enter__(self) -> beam.Pipeline:
        """Returns Beam's, to be filled."""
        return self._pipeline

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Runs it.

        Raises:
            exits.Refusal: If a worker refused.
        """
        if error is not None:
            return
        try:
            self._pipeline.run().wait_until_finish()
        except exits.Refusal:
            raise
        except Exception as failure:
            refusal = _REFUSAL.search(str(failure))
            if refusal is None:
                raise
            code, message = json.loads(base64.b64decode(refusal.group(1)))
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
            raise _told(code, exits.told(error)) from None


def _told(code: int, message: str) -> RuntimeError:
    content = base64.b64encode(json.dumps([code, message]).encode()).decode()
    return RuntimeError(f"sluice-refusal:{content}: {message}")


def each(name: str, function: Callable[..., Iterable[Any]], *given: Any) -> Any:
    """Returns the transform that calls function(*given, element)."""
    return name >> beam.FlatMap(_Step(function, given, tagged=False))


def tagged(
    names: Sequence[str], function: Callable[..., Iterable[Any]], *given: Any
) -> Any:
    """Returns the same for a function that yields (name of an output, element)."""
    step = beam.FlatMap(_Step(function, given, tagged=True))
    return "And".join(names) >> step.with_outputs(*names)


def options(asked: runner_config.RunnerConfig) -> pipeline_options.PipelineOptions:
    """Returns what the engine is told.

    Raises:
        exits.Refusal: If there is no such engine, or if that of this machine has no
            such option; others get options that only they know.
    """
    engine, given = asked.engine, asked.beam_options
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    try:
        made = runner.create_runner(engine)
    except (ValueError, ImportError, AttributeError, TypeError) as error:
        raise exits.Refusal(exits.USAGE, f"--beam_runner={engine}: {error}") from None
    if not isinstance(made, runner.PipelineRunner):
        raise exits.Refusal(exits.USAGE, f"--beam_runner={engine}: is no engine")
    unknown = _unknown(given)
    if unknown and engine == "DirectRunner":
        raise exits.Refusal(
            exits.USAGE, f"--beam_options={unknown[0]}: {engine} has no such option"
        )
    found = pipeline_options.PipelineOptions([f"--runner={engine}", *given])
    worker = found.view_as(pipeline_options.WorkerOptions)
    worker.default_sdk_harness_log_level = (
        worker.default_sdk_harness_log_level or "CRITICAL"
    )
    if engine == "DirectRunner":
        # Or Beam would try another engine first, which it gets from the network.
        found.view_as(pipeline_options.TypeOptions).allow_unsafe_triggers = True
    return found


def _unknown(given: Sequence[str]) -> list[str]:
    """Returns which options Beam itself does not know.

    Raises:
        exits.Refusal: If one that it knows has a value that cannot be, or help is
            asked for.
    """
    parser = pipeline_options._BeamArgumentParser(add_help=False)
    for group in pipeline_options.PipelineOptions.__subclasses__():
        if hasattr(group, "_add_argparse_args"):
            group._add_argparse_args(parser)
    said = io.StringIO()
    unknown: list[str] = []
    try:
        with contextlib.redirect_stderr(said):
            _, unknown = parser.parse_known_args(list(given))
    except SystemExit:
        last = said.getvalue().strip().rpartition("error: ")[2]
        raise exits.Refusal(exits.USAGE, f"--beam_options: {last}") from None
    for one in ("-h", "--help"):
        if one in unknown:
            raise exits.Refusal(
                exits.USAGE, f"--beam_options={one}: they stand in Beam's documentation"
            )
    return unknown
