"""How well a classifier does: confusions, accuracy, macro-F1; and while it trains."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from pipeline import batching, data_sources, records, shard_damage
from trainers import class_losses, noise
from trainers.models import seq2vec


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a classifier says of a set of texts.

    Attributes:
        loss: Cross-entropy in nats a text, without smoothing or class weights.
        confusions: How many texts of a class (row) it puts into which (column), int64
            [C, C]; a soft label's class is its likeliest one.
    """

    loss: float
    confusions: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of texts put into their class."""
        return float(np.trace(self.confusions) / self.confusions.sum())

    @property
    def macro_f1(self) -> float:
        """Mean over the classes of the harmonic mean of precision and recall."""
        return macro_f1(self.confusions)

    def metrics(self) -> dict[str, float]:
        """Returns its figures by name."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
        }


def macro_f1(confusions: np.ndarray) -> float:
    """Returns the mean of F1 over the classes, for int [C, C].

    As scikit-learn's `f1_score(average="macro")`: classes that no text has and none is
    put into are left out; F1 is 0 where nothing is right.

    >>> macro_f1(np.array([[2, 0], [1, 1]])).__round__(4)
    0.7333
    """
    right = np.diag(confusions)
    either = confusions.sum(axis=0) + confusions.sum(axis=1)
    occurring = either > 0
    return float(np.mean(2 * right[occurring] / either[occurring]))


class ClassificationStep:
    """Counts what a classifier says of batches, traced once."""

    def __init__(self, model: seq2vec.Classifier, num_classes: int) -> None:
        """Wraps a model; nothing is traced yet."""
        self._num_classes = num_classes

        def count(batch: batching.LabelBatch) -> tuple[tf.Tensor, tf.Tensor]:
            logits = model.logits(batch.src_ids, noise.NONE)
            nll = -tf.reduce_sum(batch.shares * tf.nn.log_softmax(logits))
            real = tf.cast(tf.reduce_any(batch.shares > 0, axis=1), tf.int64)
            confusions = tf.math.confusion_matrix(
                tf.argmax(batch.shares, 1),
                tf.argmax(logits, 1),
                num_classes,
                weights=real,
                dtype=tf.int64,
            )
            return nll, confusions

        self._traced = tf.function(
            count,
            input_signature=[batching.label_spec(num_classes)],
            autograph=False,
        )

    @property
    def num_traces(self) -> int:
        """How often the step was traced in this process."""
        return int(self._traced.experimental_get_tracing_count())

    def __call__(self, batches: Iterable[batching.LabelBatch]) -> Outcome:
        """Returns what it says of all texts of some batches."""
        nll_sum = 0.0
        confusions = np.zeros((self._num_classes, self._num_classes), np.int64)
        for batch in batches:
            nll, counted = self._traced(batch)
            nll_sum += float(nll)
            confusions += counted.numpy()
        return Outcome(nll_sum / int(confusions.sum()), confusions)

    def measure(self, batches: Iterable[batching.LabelBatch]) -> dict[str, float]:
        """Returns its figures on some batches, by name."""
        return self(batches).metrics()


def balanced_weights(source: data_sources.Source, num_classes: int) -> np.ndarray:
    """Returns `class_losses.balanced_weights` of a split, float64 [C].

    Of soft labels the likeliest class counts, and a text counts as often as the mixture
    of corpora has it in an epoch.
    """
    counts = np.zeros(num_classes)
    with shard_damage.reading(source):
        for files, shard in zip(source.shards, source.plan.shards, strict=True):
            labels = records.read_label_ids(files[0])
            counts += shard.rate * np.bincount(labels, minlength=num_classes)
    return class_losses.balanced_weights(counts)
