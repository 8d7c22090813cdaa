"""What the trainer needs for texts to classes, and for pairs of texts to vectors."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from pipeline import examples, input_pipeline, manifest, mixing, vocabulary
from trainers import (
    classification,
    retrieval,
    seq2vec_config,
    tasks,
    training,
    validation,
)
from trainers.models import build_vectors


class Parts(NamedTuple):
    """Parts of a run.

    Attributes:
        task: What its batches are.
        source: What to train on.
        model: With fresh weights.
        validate: Returns how to validate, if the run is to be.
    """

    task: tasks.Task
    source: input_pipeline.Source
    model: tf.Module
    validate: Callable[[], validation.Validate | None]


def classes(
    asked: seq2vec_config.Seq2VecConfig,
    corpora: Sequence[mixing.Corpus],
    facts: manifest.Manifest,
    dtype: str,
    is_stopping: Callable[[], bool],
) -> Parts:
    """Returns the parts of a run from texts to classes.

    Args:
        asked: The config.
        corpora: What to train on.
        facts: Manifest of the data directory.
        dtype: What the model computes in.
        is_stopping: Whether a validation is to give up.

    Raises:
        exits.Refusal: If the run cannot be what was asked.
    """
    count = len(facts.classes())
    source = training.open_source(asked, corpora)
    weights = None
    if asked.head.class_weights == "balanced":
        weights = classification.balanced_weights(source, count)
    words = vocabulary.load_one(asked.run.data_path, facts.src_vocabulary)
    model = build_vectors.classifier(asked, words.size, count, weights, dtype)

    def validate() -> validation.Validate | None:
        held_out = validation.open_valid(asked, facts)
        if held_out is None:
            return None
        return classification.Validation(model, held_out, count, is_stopping)

    return Parts(tasks.classes(count), source, model, validate)


def pairs(
    asked: seq2vec_config.Seq2VecConfig,
    corpora: Sequence[mixing.Corpus],
    facts: manifest.Manifest,
    dtype: str,
    is_stopping: Callable[[], bool],
) -> Parts:
    """Returns the parts of a run from pairs of texts to vectors; see `classes`."""
    source = training.open_source(asked, corpora, examples.TEXTS)
    entries = facts.pair_vocabularies()
    vocabularies = vocabulary.load(asked.run.data_path, entries)
    model = build_vectors.pairs(asked, vocabularies, dtype)

    def validate() -> validation.Validate | None:
        held_out = validation.open_valid(asked, facts, examples.TEXTS)
        if held_out is None:
            return None
        return retrieval.Validation(model, held_out, is_stopping)

    return Parts(tasks.EMBEDDING, source, model, validate)
