"""The kinds of examples: how the records of a pool are parsed and become a batch.

All have a source. A pair has a target that is to be said, or is two texts that are to
lie near each other; a labelled text has shares of classes instead, one of them 1 where
its label is hard, and counts as one target token.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from pipeline import batching, manifest, records, vocabulary

_SPLIT_BYTES, _NUMBER_BYTES = 8, 4  # int64 row splits; int32 and float32


class Parsed(NamedTuple):
    """The records of a pool.

    Attributes:
        content: What batches are made of: tensors, of a row for each record and one
            more where they are ragged.
        said: The lengths that the records say they have, int64 [N, 2].
        found: The lengths that they have, int64 [N, 2].
    """

    content: tuple[Any, ...]
    said: tf.Tensor
    found: tf.Tensor


class Kind(Protocol):
    """A kind of examples."""

    @property
    def spec(self) -> Any:
        """Signature of a batch: a NamedTuple of `tf.TensorSpec`."""

    @property
    def row_bytes(self) -> int:
        """What a record of a pool takes in memory beside its ids."""

    def width(self, src: np.ndarray, tgt: np.ndarray) -> np.ndarray:
        """Returns the numbers in a row of a batch, for its padded lengths."""

    def parse(self, serialized: tf.Tensor) -> Parsed:
        """Returns the records of a pool, for serialised Examples, string [N]."""

    def dense(
        self, content: tuple[Any, ...], rows: tf.Tensor, shape: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Returns a batch of some rows.

        Args:
            content: Of the pool.
            rows: Which, int64 [B]; below 0 for a filler row.
            shape: Padded lengths of source and target, int32 [2].
        """

    def full(self, rows: int, src: int, tgt: int) -> tuple[tf.Tensor, ...]:
        """Returns a batch of unknown words without padding, to try memory with."""


class Pairs:
    """Texts and their translations."""

    spec: Any = batching.SPEC
    row_bytes = 2 * _SPLIT_BYTES

    def width(self, src: np.ndarray, tgt: np.ndarray) -> np.ndarray:
        """Returns the numbers in a row of a batch, for its padded lengths."""
        size: np.ndarray = src + 2 * tgt
        return size

    def parse(self, serialized: tf.Tensor) -> Parsed:
        """Returns the records of a pool; its content is source and target ids."""
        src, tgt, said = records.parse_ids(serialized)
        found = tf.stack([src.row_lengths(), tgt.row_lengths()], axis=1)
        return Parsed((_closed(src), _closed(tgt)), said, found)

    def dense(self, content: tuple[Any, ...], rows: tf.Tensor, shape: tf.Tensor) -> Any:
        """Returns a batch of some rows; see `Kind`."""
        src, tgt = content
        return batching.to_dense(src, tgt, rows, shape[0], shape[1])

    def full(self, rows: int, src: int, tgt: int) -> Any:
        """Returns a batch of unknown words, so that no logits are spared."""
        into = tf.fill([rows, tgt], vocabulary.UNK_ID)
        return batching.Batch(tf.fill([rows, src], vocabulary.UNK_ID), into, into)


class Texts(Pairs):
    """Pairs of texts, neither of which is to be said."""

    spec: Any = batching.TEXTS_SPEC

    def dense(
        self, content: tuple[Any, ...], rows: tf.Tensor, shape: tf.Tensor
    ) -> batching.TextsBatch:
        """Returns a batch of some rows; see `Kind`."""
        batch = super().dense(content, rows, shape)
        return batching.TextsBatch(batch.src_ids, batch.tgt_out_ids)

    def full(self, rows: int, src: int, tgt: int) -> batching.TextsBatch:
        """Returns a batch of unknown words."""
        batch = super().full(rows, src, tgt)
        return batching.TextsBatch(batch.src_ids, batch.tgt_out_ids)


class Labelled(NamedTuple):
    """Texts and their classes.

    Attributes:
        num_classes: How many there are, C.
        is_soft: Whether a text has a share of each class, and not one class.
    """

    num_classes: int
    is_soft: bool

    @property
    def spec(self) -> batching.LabelBatch:
        """Signature of a batch."""
        return batching.label_spec(self.num_classes)

    @property
    def row_bytes(self) -> int:
        """What a record of a pool takes in memory beside its ids."""
        return _SPLIT_BYTES + _NUMBER_BYTES * (self.num_classes if self.is_soft else 1)

    def width(self, src: np.ndarray, tgt: np.ndarray) -> np.ndarray:
        """Returns the numbers in a row of a batch, for its padded lengths."""
        del tgt  # a label has no length
        return src + self.num_classes

    def parse(self, serialized: tf.Tensor) -> Parsed:
        """Returns the records of a pool; its content is source ids and labels.

        Labels are int32 [N], or float32 [N, C] where they are soft.
        """
        src, labels, said = records.parse_labels(
            serialized, self.num_classes if self.is_soft else 0
        )
        if not self.is_soft:  # one_hot would make a filler row of another
            message = f"a label is none of the {self.num_classes} classes"
            within = (labels >= 0) & (labels < self.num_classes)
            with tf.control_dependencies(
                [tf.debugging.Assert(tf.reduce_all(within), [message])]
            ):
                labels = tf.identity(labels)
        lengths = src.row_lengths()
        found = tf.stack([lengths, tf.zeros_like(lengths)], axis=1)
        return Parsed((_closed(src), labels), said, found)

    def dense(
        self, content: tuple[Any, ...], rows: tf.Tensor, shape: tf.Tensor
    ) -> batching.LabelBatch:
        """Returns a batch of some rows; see `Kind`."""
        src, labels = content
        return batching.to_labelled(src, labels, rows, shape[0], self.num_classes)

    def full(self, rows: int, src: int, tgt: int) -> batching.LabelBatch:
        """Returns a batch of unknown words, all of them in all classes alike."""
        del tgt  # a label has no length
        return batching.LabelBatch(
            src_ids=tf.fill([rows, src], vocabulary.UNK_ID),
            shares=tf.fill([rows, self.num_classes], 1.0 / self.num_classes),
        )


PAIRS = Pairs()
TEXTS = Texts()


def kind_of(facts: manifest.Manifest) -> Kind:
    """Returns the kind of examples of a data directory."""
    if facts.tgt_vocabulary is not None:
        return PAIRS
    return Labelled(len(facts.label_names), bool(facts.settings.get("soft_labels")))


def _closed(ids: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns the rows as int32, and after them a row of one PAD.

    So there is a value to point at even where every text is empty.
    """
    return tf.RaggedTensor.from_row_splits(
        tf.concat([tf.cast(ids.flat_values, tf.int32), [vocabulary.PAD_ID]], axis=0),
        tf.concat([ids.row_splits, ids.row_splits[-1:] + 1], axis=0),
        validate=False,
    )
