"""Validation while a run goes on: losses, and scores of what the model says."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from pipeline import config as pipeline_config
from pipeline import (
    data_sources,
    examples,
    input_pipeline,
    manifest,
    records,
    shard_damage,
    vocabulary,
)
from trainers import (
    config,
    directions,
    evaluation_step,
    memory_trial,
    scores,
    translation,
)

_SCORES = ("bleu", "chrf", "exact_match", "token_error_rate")


class StoppedError(Exception):
    """A signal came while the run was validated."""


class Result(NamedTuple):
    """What a validation found.

    Attributes:
        metrics: By name, `loss` among them.
        samples: A few sources, references and hypotheses as text; empty if none were
            decoded.
    """

    metrics: dict[str, float]
    samples: str


class Validate(Protocol):
    """What validates a run while it goes on."""

    @property
    def num_traces(self) -> int:
        """How often the evaluating step was traced in this process."""

    def try_memory(self) -> None:
        """Runs the largest batches of the split: memory runs out now or never."""

    def __call__(self) -> Result:
        """Returns the metrics of the model as it is.

        Raises:
            StoppedError: If a signal came.
        """


class Step(Protocol):
    """What measures a model on batches, traced once."""

    @property
    def num_traces(self) -> int:
        """How often it was traced in this process."""

    def measure(self, batches: Iterable[Any]) -> dict[str, float]:
        """Returns the model's figures on some batches, by name."""


class Validation:
    """Validates a model on the valid split."""

    def __init__(
        self,
        model: tf.Module,
        source: data_sources.Source,
        vocabularies: vocabulary.Vocabularies,
        asked: config.ValidationConfig,
        *,
        is_stopping: Callable[[], bool],
    ) -> None:
        """Reads the texts to decode; nothing is traced yet.

        Args:
            model: The one that is trained.
            source: The valid split.
            vocabularies: Of the data.
            asked: How much to decode.
            is_stopping: Whether to give up, asked between batches.
        """
        self._step = evaluation_step.EvaluationStep(model)
        self._source, self._asked = source, asked
        self._lowercase = vocabularies.tgt.has_no_case
        self._dataset = input_pipeline.batches(source, num_epochs=1)
        self._is_stopping = is_stopping
        self._translator = translation.Translator(model, vocabularies)
        self._texts: list[tuple[str, list[str]]] = []
        if asked.eval_examples:
            with shard_damage.reading(source):
                every = records.read_texts([files[0] for files in source.shards])
            # Evenly spread, and always the same.
            count = min(asked.eval_examples, len(every))
            self._texts = [every[len(every) * k // count] for k in range(count)]

    @property
    def num_traces(self) -> int:
        """How often the evaluating step was traced in this process."""
        return self._step.num_traces

    def try_memory(self) -> None:
        """Runs the largest batches of the split: memory runs out now or never."""
        self._step(memory_trial.largest_batches(self._source.plan, self._source.kind))

    def __call__(self) -> Result:
        """Returns the metrics of the model as it is.

        Raises:
            StoppedError: If a signal came.
        """
        batches = input_pipeline.epoch(self._source, self._dataset)
        metrics = self._step(unless_stopping(batches, self._is_stopping))
        if not self._texts:
            return Result(metrics, "")
        hypotheses = [
            hypothesis.text
            for hypothesis in self._translator.translate(
                [src for src, _ in self._texts], on_batch=self._check
            )
        ]
        found = dataclasses.asdict(
            scores.of(
                hypotheses,
                [references for _, references in self._texts],
                lowercase=self._lowercase,
            )
        )
        metrics |= {name: found[name] for name in _SCORES}
        return Result(metrics, self._shown(hypotheses))

    def _check(self, _: int) -> None:
        if self._is_stopping():
            raise StoppedError

    def _shown(self, hypotheses: list[str]) -> str:
        count = min(self._asked.eval_samples, len(hypotheses))
        chosen = [len(hypotheses) * k // count for k in range(count)]
        return "".join(
            f"  source      {self._texts[k][0]}\n"
            f"  hypothesis  {hypotheses[k]}\n"
            f"  reference   {'  |  '.join(self._texts[k][1])}\n\n"
            for k in chosen
        )


class OfVectors:
    """Validates a model that says no texts; a `Validate`."""

    def __init__(
        self,
        step: Step,
        source: data_sources.Source,
        is_stopping: Callable[[], bool],
    ) -> None:
        """Nothing is traced yet.

        Args:
            step: What measures the model.
            source: The valid split.
            is_stopping: Whether to give up, asked between batches.
        """
        self._step, self._source, self._is_stopping = step, source, is_stopping
        self._dataset = input_pipeline.batches(source, num_epochs=1)

    @property
    def num_traces(self) -> int:
        """How often the evaluating step was traced in this process."""
        return self._step.num_traces

    def try_memory(self) -> None:
        """Runs the largest batches of the split: memory runs out now or never."""
        largest = memory_trial.largest_batches(self._source.plan, self._source.kind)
        self._step.measure(largest)

    def __call__(self) -> Result:
        """Returns the metrics of the model as it is.

        Raises:
            StoppedError: If a signal came.
        """
        batches = input_pipeline.epoch(self._source, self._dataset)
        stoppable = unless_stopping(batches, self._is_stopping)
        return Result(self._step.measure(stoppable), "")


def open_valid(
    asked: config.TrainConfig,
    facts: manifest.Manifest,
    kind: examples.Kind | None = None,
) -> data_sources.Source | None:
    """Returns the valid split, whole whatever its lengths; None for no validation."""
    held_out = facts.splits["valid"]
    if not asked.validation.eval_every_steps or not held_out.num_records:
        return None
    return data_sources.open_whole(
        asked.run.data_path,
        "valid",
        tokens=asked.batch.tokens or pipeline_config.DEFAULT_TOKENS,
        attention_budget=asked.batch.attention_budget,
        kind=kind,
    )


def make(
    asked: config.Seq2SeqConfig,
    vocabularies: vocabulary.Vocabularies,
    model: tf.Module,
    is_stopping: Callable[[], bool],
) -> Validation | None:
    """Returns how to validate a sequence-to-sequence run, if it is to be."""
    facts = manifest.read(asked.run.data_path)
    source = open_valid(asked, facts)
    if source is None:
        return None
    return Validation(
        model,
        source,
        vocabularies,
        asked.validation,
        is_stopping=is_stopping,
    )


def unless_stopping(
    batches: Iterator[Any], is_stopping: Callable[[], bool]
) -> Iterator[Any]:
    """Yields batches.

    Raises:
        StoppedError: If a signal came.
    """
    for batch in batches:
        if is_stopping():
            raise StoppedError
        yield batch


def is_better(metric: str, value: float, best: float | None) -> bool:
    """Returns whether a value is better than the best so far; NaN never is."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value < best if metric in directions.LOWER_IS_BETTER else value > best
