"""From a data directory to batches: the plan decides, TensorFlow only fetches.

    plan        Python   which rows make which batch, from the sidecars alone
    load_pool   tf.data  a pool's shards read and parsed at once, ragged
    dense       tf.data  a batch's rows gathered and padded

The next pool is read while the batches of this one are used, so at most two pools are
in memory, whatever the size of the corpus.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline import (
    bucketing,
    config,
    examples,
    exits,
    locations,
    manifest,
    mixing,
    records,
)
from pipeline import plan as plan_lib

PREFETCHED_BATCHES = 8
_POOLS_IN_MEMORY = 2
_ID_BYTES = 4  # int32
_PARSED_BYTES = 8  # an id while it is parsed
# Lengths of more pairs are read pool by pool and not held: 4 bytes each.
_HELD_PAIRS = 50_000_000


class Source(NamedTuple):
    """A split of one or more data directories and the plan of its batches.

    Attributes:
        shards: For each shard of the plan, its file in every segmentation.
        stats: Size and time of last change of each, as they were planned with.
        plan: Which of their rows make which batch.
        tokens: Of each, in the first epoch: source and target without BOS or EOS.
        kind: What the records hold.
    """

    shards: list[tuple[locations.Location, ...]]
    stats: list[tuple[tuple[int, int], ...]]
    plan: plan_lib.Plan
    tokens: list[int]
    kind: examples.Kind = examples.PAIRS

    def files(self, epoch: int, shards: Iterable[int]) -> list[locations.Location]:
        """Returns the files of some shards that an epoch reads."""
        return [
            self.shards[shard][self.plan.segmentation(shard, epoch)] for shard in shards
        ]


class Reader(NamedTuple):
    """Which part of every batch is read here.

    Attributes:
        number: This reader's, from 0.
        num_readers: How many share a batch; it divides the plan's lanes.
    """

    number: int = 0
    num_readers: int = 1

    def part(self, pool: plan_lib.Pool) -> plan_lib.Pool:
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


def open_split(
    data_dir: locations.Location,
    split: str,
    batch_config: config.BatchConfig,
    *,
    seed: int,
    default_multiple: int = 1,
    kind: examples.Kind | None = None,
) -> Source:
    """Checks the files of a split and plans its batches.

    Args:
        data_dir: A data directory.
        split: `train`, `valid` or `test`.
        batch_config: How to group examples; its mixture is not looked at.
        seed: Of the plan.
        default_multiple: Boundary multiple where the config leaves it open.
        kind: What to make of the records; what the manifest says if None.

    Raises:
        exits.Refusal: If a file is missing or not as the manifest says, or if the
            settings leave nothing to read.
    """
    alone = mixing.Corpus(data_dir, manifest.read(data_dir))
    return open_corpora(
        [alone],
        split,
        batch_config,
        seed=seed,
        default_multiple=default_multiple,
        kind=kind,
    )


def open_corpora(
    corpora: Sequence[mixing.Corpus],
    split: str,
    batch_config: config.BatchConfig,
    *,
    seed: int,
    default_multiple: int = 1,
    kind: examples.Kind | None = None,
) -> Source:
    """Checks and plans a split of several data directories as one; see `open_split`."""
    for corpus in corpora:
        manifest.check_files(corpus.facts, corpus.directory, split)
    held = (
        sum(
            entry.records
            for corpus in corpora
            for entry in corpus.facts.split(split).all_shards
        )
        <= _HELD_PAIRS
    )
    shards, paths, tokens = _shards(corpora, split, held=held)
    histogram, max_length = _lengths(corpora, split, batch_config)
    try:
        buckets = bucketing.learn(
            histogram,
            num_buckets=batch_config.num_buckets,
            multiple=batch_config.bucket_multiple or default_multiple,
            budget=bucketing.Budget(
                batch_config.tokens,
                batch_config.batch_rows,
                batch_config.attention_budget,
                batch_config.row_step,
            ),
        )
        plan = plan_lib.Plan(
            shards,
            buckets,
            pool_examples=batch_config.pool_examples,
            max_length=max_length,
            seed=seed,
            num_lanes=batch_config.plan_lanes,
            row_multiple=batch_config.row_step,
            counts=None if held else _counts(corpora, split, max_length),
        )
    except ValueError as error:
        raise exits.Refusal(exits.BAD_DATA, str(error)) from None
    stats = [tuple(map(_stat, files)) for files in paths]
    kind = kind or examples.kind_of(corpora[0].facts)
    return Source(paths, stats, plan, tokens, kind)


def _shards(
    corpora: Sequence[mixing.Corpus], split: str, *, held: bool
) -> tuple[list[plan_lib.Shard], list[tuple[locations.Location, ...]], list[int]]:
    """Returns the shards for the plan, their files, and their tokens in epoch 0.

    Args:
        corpora: Where they are.
        split: Which split's.
        held: Whether to read all lengths now, and not pool by pool.
    """
    shards: list[plan_lib.Shard] = []
    paths: list[tuple[locations.Location, ...]] = []
    tokens: list[int] = []
    for number, corpus in enumerate(corpora):
        segmentations = corpus.facts.split(split).segmentations
        for entries in zip(*segmentations, strict=True):
            files = tuple(corpus.directory / entry.name for entry in entries)
            lengths = tuple(
                records.read_lengths(path, entry.records)
                if held
                else records.Sidecar(path, entry.records)
                for path, entry in zip(files, entries, strict=True)
            )
            shards.append(plan_lib.Shard(lengths, corpus.rate, number))
            paths.append(files)
            tokens.append(entries[0].src_tokens + entries[0].tgt_tokens)
    return shards, paths, tokens


def _counts(
    corpora: Sequence[mixing.Corpus], split: str, max_length: int
) -> plan_lib.Counts | None:
    """Returns what the manifests say of the first epoch, None where they do not.

    Rates are kept by a hash of each pair, and the histogram of several segmentations
    does not tell them apart.
    """
    examples = too_long = 0
    for corpus in corpora:
        found = corpus.facts.split(split)
        if corpus.rate != 1 or found.resampled:
            return None
        histogram = found.joint_histogram()
        kept = histogram[:, :2].max(axis=1) < max_length
        examples += int(histogram[kept, 2].sum())
        too_long += int(histogram[~kept, 2].sum())
    return plan_lib.Counts(examples, too_long)


def _lengths(
    corpora: Sequence[mixing.Corpus], split: str, batch_config: config.BatchConfig
) -> tuple[np.ndarray, int]:
    """Returns the joint histogram to learn from, float64 [M, 3], and the longest side.

    Lengths count BOS or EOS; pairs are counted as often as an epoch has them.
    """
    parts = [
        corpus.facts.split(split).joint_histogram() * np.array([1, 1, corpus.rate])
        for corpus in corpora
    ]
    histogram = np.concatenate(parts) + np.array([1, 1, 0])
    sides = histogram[:, :2].astype(np.int64).max(axis=1)
    longest = int(sides.max())
    max_length = min(longest, batch_config.max_length or longest)
    kept = sides <= max_length
    if not kept.any():
        raise exits.Refusal(
            exits.BAD_DATA,
            f"--max_length={max_length} leaves no {split} pair; the shortest has "
            f"{int(sides.min())} tokens",
        )
    return histogram[kept], max_length


def _stat(path: locations.Location) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def read_ahead_bytes(source: Source) -> int:
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
    source: Source,
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
        return tf.nest.map_structure(tf.identity, parsed.content)


def epoch(source: Source, dataset: tf.data.Dataset | None = None) -> Iterator[Any]:
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
        source: Source,
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
        with reading(self._source):
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
        plan = self._source.plan
        for shard in np.concatenate(plan.pools(pool[0])[pool[1]]):
            number = plan.segmentation(shard, pool[0])
            path = self._source.shards[shard][number]
            same = path.is_file() and _stat(path) == self._source.stats[shard][number]
            if not same:
                raise exits.Refusal(
                    exits.BAD_DATA,
                    f"{path}: was removed or replaced while it was read; start again, "
                    "in a new --workdir if the data is not the same",
                )


@contextlib.contextmanager
def reading(source: Source) -> Iterator[None]:
    """Turns TensorFlow's complaint about a shard into one with file and record."""
    with reading_shards([path for paths in source.shards for path in paths]):
        yield


@contextlib.contextmanager
def reading_shards(shards: Sequence[locations.Location]) -> Iterator[None]:
    """Does the same for files that are read without a plan."""
    try:
        yield
    except (
        tf.errors.DataLossError,
        tf.errors.InvalidArgumentError,
        tf.errors.NotFoundError,
        tf.errors.OutOfRangeError,
    ) as error:
        for shard in shards:
            if not shard.is_file():
                raise exits.Refusal(
                    exits.BAD_DATA,
                    f"{shard}: is gone; build the data directory again, with "
                    "--overwrite",
                ) from None
            if damage := records.locate_damage(shard):
                raise exits.Refusal(
                    exits.BAD_DATA,
                    f"{shard}: {damage}; build the data directory again, with "
                    "--overwrite",
                ) from None
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{shards[0].parent}: a shard is not the one that was planned "
            f"({error.message.splitlines()[0]}); build the data directory again, with "
            "--overwrite",
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
    source: Source, start: plan_lib.Cursor, num_epochs: int | None, reader: Reader
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
    source: Source, epoch: int, pool: plan_lib.Pool, first_batch: int
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
