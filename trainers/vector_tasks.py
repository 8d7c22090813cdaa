"""What the trainer needs for texts to classes, and for pairs of texts to vectors."""

from collections.abc import Callable, Sequence

from pipeline import config as pipeline_config
from pipeline import (
    data_sources,
    examples,
    manifest,
    mixing,
    vocabulary,
)
from trainers import (
    classification,
    config,
    preparing,
    retrieval,
    seq2vec_config,
    starting,
    tasks,
    validation,
)
from trainers.models import build_vectors


def classes(
    asked: seq2vec_config.Seq2VecConfig,
    corpora: Sequence[mixing.Corpus],
    facts: manifest.Manifest,
    dtype: str,
    is_stopping: Callable[[], bool],
) -> preparing.Parts:
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
    weights = None
    if asked.head.class_weights == "balanced":
        one = pipeline_config.BatchConfig(batch_rows=1)
        every = data_sources.open_corpora(corpora, "train", one, seed=0)
        weights = classification.balanced_weights(every, count)
    words = vocabulary.load_one(asked.run.data_path, facts.src_vocabulary)
    model = build_vectors.classifier(asked, words.size, count, weights, dtype)

    def validate(budgeted: config.TrainConfig) -> validation.Validate | None:
        held_out = validation.open_valid(budgeted, facts)
        if held_out is None:
            return None
        step = classification.ClassificationStep(model, count)
        return validation.OfVectors(step, held_out, is_stopping)

    pieces = {"src": words.pieces(range(words.size))}
    kind = examples.kind_of(facts)
    return preparing.Parts(tasks.classes(count), model, pieces, validate, kind)


def pairs(
    asked: seq2vec_config.Seq2VecConfig,
    corpora: Sequence[mixing.Corpus],
    facts: manifest.Manifest,
    dtype: str,
    is_stopping: Callable[[], bool],
) -> preparing.Parts:
    """Returns the parts of a run from pairs of texts to vectors; see `classes`."""
    del corpora
    entries = facts.pair_vocabularies()
    vocabularies = vocabulary.load(asked.run.data_path, entries)
    model = build_vectors.pairs(asked, vocabularies, dtype)

    def validate(budgeted: config.TrainConfig) -> validation.Validate | None:
        held_out = validation.open_valid(budgeted, facts, examples.TEXTS)
        if held_out is None:
            return None
        step = retrieval.RetrievalStep(model)
        return validation.OfVectors(step, held_out, is_stopping)

    pieces = starting.pieces_of(vocabularies)
    return preparing.Parts(tasks.EMBEDDING, model, pieces, validate, examples.TEXTS)
