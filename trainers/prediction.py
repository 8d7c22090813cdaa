"""Texts to vectors and probabilities of classes, in batches of similar length."""

import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline import vocabulary
from trainers import (
    decoding_config,
    restoring,
    run_directory,
    seq2vec_config,
    translation,
)
from trainers.models import build_vectors, seq2vec

MAX_TOKENS = 1024  # longer texts are cut; attention needs memory for S * S


class Predicted(NamedTuple):
    """What a classifier says of N texts.

    Attributes:
        probabilities: Of each class, float32 [N, C].
        vectors: What its head reads, float32 [N, D].
    """

    probabilities: np.ndarray
    vectors: np.ndarray


class Embedder:
    """Vectors of texts, by one side of a model of pairs."""

    def __init__(
        self,
        vectors: Callable[[tf.Tensor], tf.Tensor],
        words: vocabulary.Vocabulary,
    ) -> None:
        """Wraps what makes float [B, D] of int32 [B, S]; nothing is traced yet."""
        self._words = words

        def run(ids: tf.Tensor) -> tf.Tensor:
            return vectors(ids)  # which may take more, that has defaults

        self._traced = tf.function(
            run,
            input_signature=[tf.TensorSpec([None, None], tf.int32)],
            autograph=False,
        )

    def __call__(self, texts: Sequence[str], *, first_line: int = 1) -> np.ndarray:
        """Returns vectors of texts, at least one, in their order, float32 [N, D]."""
        ids = self._words.encode(texts)
        (found,) = in_order(
            ids, lambda batch: (self._traced(batch).numpy(),), first_line=first_line
        )
        return found


class Predictor:
    """A classifier and its vocabulary."""

    def __init__(self, model: seq2vec.Classifier, words: vocabulary.Vocabulary) -> None:
        """Wraps a model; nothing is traced yet."""
        self._words = words

        def run(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            vectors = model.vectors(ids)
            return tf.nn.softmax(model.scores(vectors)), vectors

        self._traced = tf.function(
            run,
            input_signature=[tf.TensorSpec([None, None], tf.int32)],
            autograph=False,
        )

    def __call__(self, texts: Sequence[str], *, first_line: int = 1) -> Predicted:
        """Returns what the model says of texts, at least one, in their order.

        A text of more than 1,024 tokens is cut, with a warning; an empty one is read
        like any other.
        """
        ids = self._words.encode(texts)
        return Predicted(*in_order(ids, self._run, first_line=first_line))

    def _run(self, ids: tf.Tensor) -> tuple[np.ndarray, ...]:
        probabilities, vectors = self._traced(ids)
        return probabilities.numpy(), vectors.numpy()


class Restored(NamedTuple):
    """A run's classifier.

    Attributes:
        model: With its weights.
        words: Its vocabulary.
        names: Of its classes, by id.
        which: The checkpoints that the weights are of, in words.
    """

    model: seq2vec.Classifier
    words: vocabulary.Vocabulary
    names: list[str]
    which: str

    def predictor(self) -> Predictor:
        """Returns it as what reads texts."""
        return Predictor(self.model, self.words)


def load(
    run: seq2vec_config.Seq2VecConfig, weights: decoding_config.WeightsConfig
) -> Restored:
    """Returns the classifier of a run.

    Args:
        run: The flags of the run.
        weights: Of which run, and which of its checkpoints.

    Raises:
        exits.Refusal: If there is no such checkpoint, or no classes.
    """
    workdir = pathlib.Path(weights.workdir)
    names = run_directory.labels(workdir)
    folder = workdir / run_directory.VOCABULARY
    (entry,) = vocabulary.copied_entries(folder)
    words = vocabulary.load_one(folder, entry)
    model = build_vectors.classifier(run, words.size, len(names))
    which = restoring.restore(model, weights)
    return Restored(model, words, names, which)


def in_order(
    ids: Sequence[list[int]],
    run: Callable[[tf.Tensor], tuple[np.ndarray, ...]],
    *,
    first_line: int = 1,
) -> list[np.ndarray]:
    """Returns what `run` says of texts, each array [N, ...], in the order of the texts.

    Args:
        ids: Of N texts, at least one, without EOS.
        run: From a batch, int32 [B, S], to arrays [B, ...].
        first_line: Number of the first text, for warnings.
    """
    found: list[np.ndarray] = []
    cut = [
        translation.cut(row, MAX_TOKENS, line)
        for line, row in enumerate(ids, start=first_line)
    ]
    lengths = {number: len(row) + 1 for number, row in enumerate(cut)}
    for rows in translation.by_length(lengths, 1):
        parts = run(
            translation.padded([[*cut[row], vocabulary.EOS_ID] for row in rows])
        )
        if not found:
            found = [
                np.zeros((len(ids), *part.shape[1:]), part.dtype) for part in parts
            ]
        for whole, part in zip(found, parts, strict=True):
            whole[rows] = part
    return found
