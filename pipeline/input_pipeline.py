"""From a data directory to batches: the plan decides, TensorFlow only fetches.

    plan        Python   which rows make which batch, from the sidecars alone
    load_pool   tf.data  a pool's shards read and parsed at once, ragged
    to_dense    tf.data  a batch's rows gathered and padded

The next pool is read while the batches of this one are used, so at most two pools are
in memory, whatever the size of the corpus.
"""

import contextlib
import pathlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline import batching, bucketing, config, exits, manifest, records, vocabulary
from pipeline import plan as plan_lib

PREFETCHED_BATCHES = 8


class Source(NamedTuple):
    """A split of a data directory and the plan of its batches.

    Attributes:
        shards: Those of the first segmentation, then those of any further ones.
        plan: Which of their rows make which batch.
    """

    shards: list[pathlib.Path]
    plan: plan_lib.Plan


def open_split(
    data_dir: pathlib.Path,
    split: str,
    batch_config: config.BatchConfig,
    *,
    seed: int,
    default_multiple: int = 1,
) -> Source:
    """Checks the files of a split and plans its batches.

    Args:
        data_dir: A data directory.
        split: `train`, `valid` or `test`.
        batch_config: How to group examples.
        seed: Of the plan.
        default_multiple: Boundary multiple where the config leaves it open.

    Raises:
        exits.Refusal: If a file is missing or not as the manifest says, or if the
            settings leave nothing to read.
    """
    facts = manifest.read(data_dir)
    manifest.check_files(facts, data_dir, split)
    entries = facts.split(split).all_shards
    shards = [data_dir / entry.name for entry in entries]
    counts = [entry.records for entry in entries]
    lengths = [
        records.read_lengths(path, count).astype(np.int64) + 1
        for path, count in zip(shards, counts, strict=True)
    ]
    histogram = facts.split(split).joint_histogram() + np.array([1, 1, 0])
    longest = int(histogram[:, :2].max())
    max_length = min(longest, batch_config.max_length or longest)
    kept = histogram[histogram[:, :2].max(axis=1) <= max_length]
    if not len(kept):
        raise exits.Refusal(
            exits.BAD_DATA,
            f"--max_length={max_length} leaves no {split} pair; the shortest has "
            f"{int(histogram[:, :2].max(axis=1).min())} tokens",
        )
    try:
        buckets = bucketing.learn(
            kept,
            num_buckets=batch_config.num_buckets,
            multiple=batch_config.bucket_multiple or default_multiple,
            tokens_per_batch=batch_config.tokens_per_batch,
        )
        plan = plan_lib.Plan(
            lengths,
            buckets,
            pool_examples=batch_config.pool_examples,
            max_length=max_length,
            seed=seed,
            num_segmentations=len(facts.split(split).segmentations),
        )
    except ValueError as error:
        raise exits.Refusal(exits.BAD_DATA, str(error)) from None
    return Source(shards, plan)


def batches(
    source: Source,
    start: plan_lib.Cursor = plan_lib.START,
    *,
    num_epochs: int | None = None,
) -> tf.data.Dataset:
    """Returns the planned batches from `start` on, as a Dataset of `Batch`.

    Args:
        source: The split and its plan.
        start: The first batch; those before it are not built.
        num_epochs: Ends after this many epochs, counted from epoch 0; endless if None.
    """
    pools = tf.data.Dataset.from_generator(
        lambda: _pools(source, start, num_epochs), output_signature=_POOL_SPEC
    )
    options = tf.data.Options()
    # Nothing here is left for tf.data to tune. Closing the iterator once took 57 s, not
    # seen again without the tuning thread, which sleeps for up to a minute at a time.
    options.autotune.enabled = False
    return (
        pools.map(lambda *pool: _load(_PoolRows(*pool)))
        .prefetch(1)  # the next pool, while the batches of this one are used
        .flat_map(_planned_batches)
        .prefetch(PREFETCHED_BATCHES)
        .with_options(options)
    )


def _load(pool: "_PoolRows") -> tuple["_PoolRows", tf.RaggedTensor, tf.RaggedTensor]:
    return (pool, *load_pool(pool.shards, pool.lengths))


def _planned_batches(
    pool: "_PoolRows", src: tf.RaggedTensor, tgt: tf.RaggedTensor
) -> tf.data.Dataset:
    """Returns the batches of a loaded pool, in the order of the plan."""

    def one(index: tf.Tensor) -> batching.Batch:
        rows = pool.rows[pool.offsets[index] : pool.offsets[index + 1]]
        shape = pool.shapes[index]
        return batching.to_dense(src, tgt, rows, shape[0], shape[1])

    numbers = tf.data.Dataset.range(tf.shape(pool.shapes, tf.int64)[0])
    return numbers.map(one, num_parallel_calls=2, deterministic=True)


def load_pool(
    shards: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Reads whole shards at once.

    Args:
        shards: Paths, string [P].
        lengths: What the plan believes of their records, int64 [N, 2].

    Returns:
        Source and target ids, ragged int32 [N + 1, None]. The last row is one PAD, so
        that there is a value to point at even where every text is empty.
    """
    num_records = tf.shape(lengths, tf.int64)[0]
    # One more than planned would fit, so that a longer file is seen and not cut short.
    dataset = tf.data.TFRecordDataset(shards).batch(num_records + 1)
    src, tgt, parsed = records.parse_ids(dataset.get_single_element())
    message = "lengths in the shards differ from their sidecars"
    with tf.control_dependencies(
        [
            tf.debugging.assert_equal(
                tf.shape(parsed, tf.int64)[0], num_records, message
            ),
            tf.debugging.assert_equal(parsed, lengths, message),
            tf.debugging.assert_equal(src.row_lengths(), lengths[:, 0], message),
            tf.debugging.assert_equal(tgt.row_lengths(), lengths[:, 1], message),
        ]
    ):
        return _closed(src), _closed(tgt)


def _closed(ids: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns the rows as int32, and after them a row of one PAD."""
    return tf.RaggedTensor.from_row_splits(
        tf.concat([tf.cast(ids.flat_values, tf.int32), [vocabulary.PAD_ID]], axis=0),
        tf.concat([ids.row_splits, ids.row_splits[-1:] + 1], axis=0),
        validate=False,
    )


def epoch(source: Source) -> Iterator[batching.Batch]:
    """Yields the batches of one epoch.

    Raises:
        exits.Refusal: If a shard is damaged or is not the one that was planned.
    """
    with reading(source):
        yield from batches(source, num_epochs=1)


class Stream:
    """Batches one by one, with the cursor of the next and the time spent waiting."""

    def __init__(self, source: Source, start: plan_lib.Cursor) -> None:
        """Opens the endless stream at a cursor."""
        self.cursor = source.plan.settle(start)
        self.wait_secs = 0.0
        self._source = source
        self._batches = iter(batches(source, self.cursor))

    def __iter__(self) -> Iterator[batching.Batch]:
        """Returns itself."""
        return self

    def __next__(self) -> batching.Batch:
        """Returns the next batch; afterwards `cursor` is the one after it.

        Raises:
            exits.Refusal: If a shard is damaged or is not the one that was planned.
        """
        begin = time.perf_counter()
        with reading(self._source):
            batch = next(self._batches)
        self.wait_secs += time.perf_counter() - begin
        self.cursor = self._source.plan.advance(self.cursor)
        return batch

    def close(self) -> None:
        """Ends the background reading, which would outlive the interpreter."""
        del self._batches


@contextlib.contextmanager
def reading(source: Source) -> Iterator[None]:
    """Turns TensorFlow's complaint about a shard into one with file and record."""
    try:
        yield
    except (
        tf.errors.DataLossError,
        tf.errors.InvalidArgumentError,
        tf.errors.NotFoundError,
        tf.errors.OutOfRangeError,
    ) as error:
        for shard in source.shards:
            if not shard.is_file():
                raise exits.Refusal(exits.BAD_DATA, f"{shard}: is gone") from None
            if damage := records.locate_damage(shard):
                raise exits.Refusal(
                    exits.BAD_DATA,
                    f"{shard}: {damage}; build the data directory again",
                ) from None
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{source.shards[0].parent}: a shard is not the one that was planned "
            f"({error.message.splitlines()[0]}); build the data directory again",
        ) from None


class _PoolRows(NamedTuple):
    """A pool as tensors: what to read, and which rows make which batch."""

    shards: tf.Tensor  # string [P]
    lengths: tf.Tensor  # int64 [N, 2], without BOS and EOS
    rows: tf.Tensor  # int64 [R]
    offsets: tf.Tensor  # int64 [num_batches + 1]
    shapes: tf.Tensor  # int32 [num_batches, 2]: S, T


_POOL_SPEC = tuple(
    _PoolRows(
        shards=tf.TensorSpec([None], tf.string),
        lengths=tf.TensorSpec([None, 2], tf.int64),
        rows=tf.TensorSpec([None], tf.int64),
        offsets=tf.TensorSpec([None], tf.int64),
        shapes=tf.TensorSpec([None, 2], tf.int32),
    )
)


def _pools(
    source: Source, start: plan_lib.Cursor, num_epochs: int | None
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields the pools from a cursor on; the first without the batches before it."""
    plan = source.plan
    epoch, first_pool, first_batch = start
    while num_epochs is None or epoch < num_epochs:
        for index in range(first_pool, len(plan.pools(epoch))):
            pool = plan.pool(epoch, index)
            if first_batch < pool.num_batches:
                yield tuple(_pool_rows(source, pool, first_batch))
            first_batch = 0
        epoch, first_pool = epoch + 1, 0


def _pool_rows(source: Source, pool: plan_lib.Pool, first_batch: int) -> _PoolRows:
    buckets = source.plan.buckets
    chosen = pool.buckets[first_batch:]
    lengths = [source.plan.lengths[shard] for shard in pool.shards]
    return _PoolRows(
        shards=np.array([str(source.shards[shard]) for shard in pool.shards]),
        lengths=np.concatenate(lengths) - 1,
        rows=pool.rows,
        offsets=pool.offsets[first_batch:],
        shapes=np.stack([buckets.src[chosen], buckets.tgt[chosen]], 1).astype(np.int32),
    )
