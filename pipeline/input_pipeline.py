"""From a data directory to batches: the plan decides, TensorFlow only fetches.

    plan        Python   which rows make which batch, from the sidecars alone
    load_pool   tf.data  a pool's shards read and parsed at once, ragged
    dense       tf.data  a batch's rows gathered and padded

The next pool is read while the batches of this one are used, so at most two pools are
in memory, whatever the size of the corpus.
"""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline import data_sources, examples, shard_damage
from pipeline import plan as plan_lib
from pipeline import pools as pools_lib

PREFETCHED_BATCHES = 8
_POOLS_IN_MEMORY = 2
_ID_BYTES = 4  # int32
_PARSED_BYTES = 8  # an id while it is parsed


class Reader(NamedTuple):
    """Which part of every batch is read here.

    Attributes:
        number: This reader's, from 0.
        num_readers: How many share a batch; it divides the plan's lanes.
    """

    number: int = 0
    num_readers: int = 1

    def part(self, pool: pools_lib.Pool) -> pools_lib.Pool:
        """Returns what this reader has of a pool.

        Raises:
            ValueError: If the readers do not divide the lanes.
        """
        num_lanes = len(pool.first_rows) - 1
        if num_lanes % self.num_readers or not 0 <= self.number < self.num_readers:
            raise ValueError(
                f"--plan_lanes={num_lanes} does not suit {self.num_readers} readers"
            )
        lanes = num_lanes // self.num_readers
        return pool.part(self.number * lanes, (self.number + 1) * lanes)


ALONE = Reader()


def read_ahead_bytes(source: data_sources.Source) -> int:
    """Returns the most that the pipeline holds in memory, estimated from the plan.

    Pools and batches that wait, and a pool being parsed; TensorFlow and its allocator
    come on top.
    """
    plan = source.plan
    largest = 0
    for lanes in plan.pools(0):
        shards = np.concatenate(lanes)
        num_tokens = sum([source.tokens[shard] for shard in shards])
        num_rows = sum([len(plan.shards[shard].lengths[0]) for shard in shards])
        held = _ID_BYTES * num_tokens + source.kind.row_bytes * num_rows
        on_disk = sum([source.stats[shard][0][0] for shard in shards])
        parsing = on_disk + _PARSED_BYTES * num_tokens
        largest = max(largest, _POOLS_IN_MEMORY * held + parsing)
    buckets = plan.buckets
    sizes = buckets.rows * source.kind.width(buckets.src, buckets.tgt)
    return largest + PREFETCHED_BATCHES * _ID_BYTES * int(sizes.max())


def batches(
    source: data_sources.Source,
    start: plan_lib.Cursor = plan_lib.START,
    *,
    num_epochs: int | None = None,
    reader: Reader = ALONE,
) -> tf.data.Dataset:
    """Returns the planned batches from `start` on, as a Dataset of its kind's.

    Args:
        source: The split and its plan.
        start: The first batch; those before it are not built.
        num_epochs: Ends after this many epochs, counted from epoch 0; endless if None.
        reader: Which part of each batch, and so which shards, to read.
    """
    pools = tf.data.Dataset.from_generator(
        lambda: _pools(source, start, num_epochs, reader), output_signature=_POOL_SPEC
    )
    options = tf.data.Options()
    # Nothing here is left for tf.data to tune. Closing the iterator once took 57 s, not
    # seen again without the tuning thread, which sleeps for up to a minute at a time.
    options.autotune.enabled = False
    kind = source.kind

    def load(*tensors: tf.Tensor) -> tuple[_PoolRows, tuple[Any, ...]]:
        pool = _PoolRows(*tensors)
        return pool, load_pool(pool.shards, pool.lengths, kind)

    return (
        pools.map(load)
        .prefetch(1)  # the next pool, while the batches of this one are used
        .flat_map(lambda pool, content: _planned_batches(pool, content, kind))
        .prefetch(PREFETCHED_BATCHES)
        .with_options(options)
    )


def _planned_batches(
    pool: "_PoolRows", content: tuple[Any, ...], kind: examples.Kind
) -> tf.data.Dataset:
    """Returns the batches of a loaded pool, in the order of the plan."""

    def one(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        rows = pool.rows[pool.offsets[index] : pool.offsets[index + 1]]
        return kind.dense(content, rows, pool.shapes[index])

    numbers = tf.data.Dataset.range(tf.shape(pool.shapes, tf.int64)[0])
    return numbers.map(one, num_parallel_calls=2, deterministic=True)


def load_pool(
    shards: tf.Tensor, lengths: tf.Tensor, kind: examples.Kind
) -> tuple[Any, ...]:
    """Reads whole shards at once.

    Args:
        shards: Paths, string [P].
        lengths: What the plan believes of their records, int64 [N, 2].
        kind: What the records hold.

    Returns:
        Their content, as `kind` makes batches of it.
    """
    num_records = tf.shape(lengths, tf.int64)[0]
    # One more than planned would fit, so that a longer file is seen and not cut short.
    dataset = tf.data.TFRecordDataset(shards).batch(num_records + 1)
    parsed = kind.parse(dataset.get_single_element())
    message = "lengths in the shards differ from their sidecars"
    with tf.control_dependencies(
        [
            tf.debugging.assert_equal(
                tf.shape(parsed.said, tf.int64)[0], num_records, message
            ),
            tf.debugging.assert_equal(parsed.said, lengths, message),
            tf.debugging.assert_equal(parsed.found, lengths, message),
        ]
    ):
        content: tuple[Any, ...] = tf.nest.map_structure(tf.identity, parsed.content)
        return content


def epoch(
    source: data_sources.Source, dataset: tf.data.Dataset | None = None
) -> Iterator[Any]:
    """Yields the batches of one epoch.

    Args:
        source: The split and its plan.
        dataset: `batches(source, num_epochs=1)`, for who reads it many times: each new
            dataset leaves its functions behind in TensorFlow's context.

    Raises:
        exits.Refusal: If a shard is damaged or is not the one that was planned.
    """
    dataset = dataset or batches(source, num_epochs=1)
    stream = Stream(source, plan_lib.START, dataset=dataset)
    try:
        yield from stream
    finally:
        stream.close()


class Stream:
    """Batches one by one, with the cursor of the next and the time spent waiting."""

    def __init__(
        self,
        source: data_sources.Source,
        start: plan_lib.Cursor,
        *,
        reader: Reader = ALONE,
        dataset: tf.data.Dataset | None = None,
    ) -> None:
        """Opens the stream at a cursor; endless unless `dataset` ends."""
        self.cursor = source.plan.settle(start)
        self.wait_secs = 0.0
        self._source = source
        self._checked: tuple[int, int] | None = None
        if dataset is None:
            dataset = batches(source, self.cursor, reader=reader)
        self._batches: Iterator[Any] = iter(dataset)

    def __iter__(self) -> Iterator[Any]:
        """Returns itself."""
        return self

    def __next__(self) -> Any:
        """Returns the next batch; afterwards `cursor` is the one after it.

        Raises:
            exits.Refusal: If a shard is damaged or is not the one that was planned.
        """
        begin = time.perf_counter()
        with shard_damage.reading(self._source):
            batch = next(self._batches)
        self._check_pool()
        self.wait_secs += time.perf_counter() - begin
        self.cursor = self._source.plan.advance(self.cursor)
        return batch

    def close(self) -> None:
        """Ends the background reading, which would outlive the interpreter."""
        self._batches = iter(())

    def _check_pool(self) -> None:
        """Refuses shards that are not those of the plan any more, once a pool."""
        pool = self.cursor[:2]
        if pool == self._checked:
            return
        self._checked = pool
        epoch, index = pool
        shards = np.concatenate(self._source.plan.pools(epoch)[index])
        self._source.check_unchanged(epoch, shards)


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
    source: data_sources.Source,
    start: plan_lib.Cursor,
    num_epochs: int | None,
    reader: Reader,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields the pools from a cursor on; the first without the batches before it."""
    plan = source.plan
    epoch, first_pool, first_batch = start
    while num_epochs is None or epoch < num_epochs:
        for index in range(first_pool, len(plan.pools(epoch))):
            pool = plan.pool(epoch, index)
            if first_batch < pool.num_batches:
                yield tuple(_pool_rows(source, epoch, reader.part(pool), first_batch))
            first_batch = 0
        epoch, first_pool = epoch + 1, 0


def _pool_rows(
    source: data_sources.Source, epoch: int, pool: pools_lib.Pool, first_batch: int
) -> _PoolRows:
    buckets = source.plan.buckets
    chosen = pool.buckets[first_batch:]
    lengths = [source.plan.lengths(shard, epoch) for shard in pool.shards]
    return _PoolRows(
        shards=np.array([str(path) for path in source.files(epoch, pool.shards)]),
        lengths=np.concatenate(lengths).astype(np.int64),
        rows=pool.rows,
        offsets=pool.offsets[first_batch:],
        shapes=np.stack([buckets.src[chosen], buckets.tgt[chosen]], 1).astype(np.int32),
    )
