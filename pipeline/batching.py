"""Ragged rows to dense batches: BOS and EOS, the shift, right padding.

A pair of 3 source and 2 target subwords, in a bucket of 5 and 4 tokens:

    src_ids      a  b  c  EOS PAD
    tgt_in_ids   BOS x  y  PAD        what the decoder reads
    tgt_out_ids  x  y  EOS PAD        what it should say; PAD carries no loss

A filler row, which only completes a shape, has the source EOS and the target input BOS,
since a row whose keys are all masked has no softmax and stops cuDNN; its target output
is PAD throughout.

A labelled text has the shares of its classes, one of them 1 where the label is hard, in
place of a target; a filler row has none. Where both sides are read and none is said,
they are alike: each with EOS, and a filler row has no target at all.
"""

from typing import NamedTuple

import tensorflow as tf

from pipeline import vocabulary


class Batch(NamedTuple):
    """A dense batch of pairs. S and T are a bucket's boundaries.

    Attributes:
        src_ids: Source and EOS, int32 [B, S].
        tgt_in_ids: BOS and target, int32 [B, T].
        tgt_out_ids: Target and EOS, int32 [B, T].
    """

    src_ids: tf.Tensor
    tgt_in_ids: tf.Tensor
    tgt_out_ids: tf.Tensor


class LabelBatch(NamedTuple):
    """A dense batch of labelled texts. S is a bucket's boundary, C the classes.

    Attributes:
        src_ids: Source and EOS, int32 [B, S].
        shares: Of each class, float32 [B, C]; they sum to 1, or to 0 in a filler row.
    """

    src_ids: tf.Tensor
    shares: tf.Tensor


class TextsBatch(NamedTuple):
    """A dense batch of pairs of texts, neither of which is to be said.

    Attributes:
        src_ids: Source and EOS, int32 [B, S].
        tgt_ids: Target and EOS, int32 [B, T]; PAD throughout in a filler row.
    """

    src_ids: tf.Tensor
    tgt_ids: tf.Tensor


class Counts(NamedTuple):
    """How large a batch is, int64 [] each.

    Attributes:
        src_tokens: Source tokens that are not padding.
        padded: Source and target tokens, padding included; a label is one token,
            and so is that two texts belong together.
    """

    src_tokens: tf.Tensor
    padded: tf.Tensor


TEXTS_SPEC = TextsBatch(
    *(tf.TensorSpec([None, None], tf.int32, name) for name in TextsBatch._fields)
)
SPEC = Batch(*(tf.TensorSpec([None, None], tf.int32, name) for name in Batch._fields))


def label_spec(num_classes: int) -> LabelBatch:
    """Returns the signature of a batch of labelled texts."""
    return LabelBatch(
        tf.TensorSpec([None, None], tf.int32, "src_ids"),
        tf.TensorSpec([None, num_classes], tf.float32, "shares"),
    )


def to_dense(
    src: tf.RaggedTensor,
    tgt: tf.RaggedTensor,
    rows: tf.Tensor,
    src_length: tf.Tensor,
    tgt_length: tf.Tensor,
) -> Batch:
    """Returns the chosen rows as a batch.

    Args:
        src: Source ids of a pool, ragged int32 [N, None], N at least 1.
        tgt: Target ids of a pool, ragged int32 [N, None].
        rows: Which rows, int64 [B]; below 0 for a filler row.
        src_length: S, the padded source length, int32 [].
        tgt_length: T, the padded target length, int32 [].
    """
    real = rows >= 0
    src_ids, src_end = _padded(src, rows, real, src_length)
    tgt_ids, tgt_end = _padded(tgt, rows, real, tgt_length)
    eos = tf.constant(vocabulary.EOS_ID, tf.int32)
    tgt_out_ids = tf.where(tgt_end & real[:, None], eos, tgt_ids)
    begin = tf.fill([tf.shape(rows)[0], 1], vocabulary.BOS_ID)
    return Batch(
        src_ids=tf.where(src_end, eos, src_ids),
        tgt_in_ids=tf.concat([begin, tgt_ids[:, :-1]], axis=1),
        tgt_out_ids=tgt_out_ids,
    )


def to_labelled(
    src: tf.RaggedTensor,
    labels: tf.Tensor,
    rows: tf.Tensor,
    src_length: tf.Tensor,
    num_classes: int,
) -> LabelBatch:
    """Returns the chosen rows as a batch.

    Args:
        src: Source ids of a pool, ragged int32 [N, None], N at least 1.
        labels: Classes, int32 [N], or shares of them, float32 [N, C].
        rows: Which rows, int64 [B]; below 0 for a filler row.
        src_length: S, the padded source length, int32 [].
        num_classes: C.
    """
    real = rows >= 0
    src_ids, src_end = _padded(src, rows, real, src_length)
    chosen = tf.gather(labels, tf.where(real, rows, 0))
    shares = tf.one_hot(chosen, num_classes) if labels.shape.rank == 1 else chosen
    return LabelBatch(
        src_ids=tf.where(src_end, tf.constant(vocabulary.EOS_ID, tf.int32), src_ids),
        shares=tf.where(real[:, None], shares, 0.0),
    )


def count(batch: Batch | LabelBatch | TextsBatch) -> Counts:
    """Returns how large a batch is."""
    if isinstance(batch, TextsBatch):
        num_rows = tf.shape(batch.src_ids, tf.int64)[0]
        return Counts(
            src_tokens=tf.add_n([tf.math.count_nonzero(ids) for ids in batch]),
            padded=tf.add_n([tf.size(ids, tf.int64) for ids in batch]) + num_rows,
        )
    targets = batch.tgt_out_ids if isinstance(batch, Batch) else batch.shares[:, 0]
    return Counts(
        src_tokens=tf.math.count_nonzero(batch.src_ids),
        padded=tf.size(batch.src_ids, tf.int64) + tf.size(targets, tf.int64),
    )


def _padded(
    ragged: tf.RaggedTensor, rows: tf.Tensor, real: tf.Tensor, length: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns rows padded to a length, and where each ends: int32 and bool [B, L]."""
    safe = tf.where(real, rows, 0)
    starts = tf.gather(ragged.row_splits, safe)
    sizes = tf.where(real, tf.gather(ragged.row_splits, safe + 1) - starts, 0)
    position = tf.range(tf.cast(length, tf.int64))
    inside = position < sizes[:, None]
    # Positions outside a row read the value at 0, which the mask then replaces.
    index = tf.where(inside, starts[:, None] + position, 0)
    ids = tf.where(inside, tf.gather(ragged.flat_values, index), vocabulary.PAD_ID)
    return ids, position == sizes[:, None]
