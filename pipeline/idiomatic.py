"""The pipeline most people write, over our shards, for `pipeline.inspect` to compare.

One record at a time, as the guides of tf.data do it: parse, shuffle,
`bucket_by_sequence_length`. It even does less than ours: no BOS, no EOS, no shifted
target, and its order cannot be resumed.
"""

from collections.abc import Sequence

import tensorflow as tf

from pipeline import locations, records, vocabulary

_SHUFFLE_BUFFER = 16_384


def batches(
    shards: Sequence[locations.Location],
    *,
    tokens_per_batch: int,
    num_buckets: int,
    longest: int,
) -> tf.data.Dataset:
    """Returns batches of padded (src_ids, tgt_ids), int64 [B, S] and [B, T], endless.

    Args:
        shards: TFRecord files.
        tokens_per_batch: Padded tokens allowed on the larger side.
        num_buckets: Buckets, equally wide.
        longest: Tokens of the longest side.
    """
    features = {
        records.SRC_IDS: tf.io.VarLenFeature(tf.int64),
        records.TGT_IDS: tf.io.VarLenFeature(tf.int64),
    }

    def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_single_example(serialized, features)
        return (
            tf.sparse.to_dense(parsed[records.SRC_IDS]),
            tf.sparse.to_dense(parsed[records.TGT_IDS]),
        )

    width = -(-longest // num_buckets)
    bounds = [width * (index + 1) + 1 for index in range(num_buckets)]
    return (
        tf.data.TFRecordDataset([str(shard) for shard in shards])
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        .shuffle(_SHUFFLE_BUFFER)
        .repeat()
        .bucket_by_sequence_length(
            lambda src, tgt: tf.maximum(tf.size(src), tf.size(tgt)),
            bucket_boundaries=bounds,
            bucket_batch_sizes=[
                max(1, tokens_per_batch // (bound - 1))
                for bound in [*bounds, longest + 1]
            ],
            padding_values=tf.constant(vocabulary.PAD_ID, tf.int64),
        )
        .prefetch(tf.data.AUTOTUNE)
    )
