"""Damaged shards: TensorFlow's complaint becomes one with the file and the record."""

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from pipeline import data_sources, exits, frames, locations


@contextlib.contextmanager
def reading(source: data_sources.Source) -> Iterator[None]:
    """Turns TensorFlow's complaint about a shard into one with file and record.

    Raises:
        exits.Refusal: Instead of TensorFlow's errors, naming what is damaged or gone.
    """
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
            found = frames.locate_damage(shard) if shard.is_file() else "is gone"
            if found:
                raise exits.Refusal(
                    exits.BAD_DATA,
                    f"{shard}: {found}; build the data directory again, with "
                    "--overwrite",
                ) from None
        folders = ", ".join(sorted({str(shard.parent) for shard in shards}))
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{folders}: a shard is not the one that was planned "
            f"({error.message.splitlines()[0]}); build the data directory again, with "
            "--overwrite",
        ) from None
