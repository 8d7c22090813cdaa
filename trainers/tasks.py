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


SEQ2SEQ = Task(batching.SPEC, "token_accuracy", "tgt_tokens_per_sec", "target tokens")
