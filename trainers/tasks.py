"""What the trainer has to know of a task beside its model: it trains any."""

from typing import Any, NamedTuple

from pipeline import batching


class Task(NamedTuple):
    """The batches of a task, and what its figures are called.

    Attributes:
        spec: Signature of a batch: a NamedTuple of `tf.TensorSpec`.
        accuracy: Name of the share of targets that scored highest.
        rate: Name of the targets a second.
        targets: What targets are, for people.
    """

    spec: Any
    accuracy: str
    rate: str
    targets: str


def classes(num_classes: int) -> Task:
    """Returns the task of texts to classes."""
    spec = batching.label_spec(num_classes)
    return Task(spec, "accuracy", "examples_per_sec", "examples")


EMBEDDING = Task(batching.TEXTS_SPEC, "accuracy", "examples_per_sec", "examples")
SEQ2SEQ = Task(batching.SPEC, "token_accuracy", "tgt_tokens_per_sec", "target tokens")
