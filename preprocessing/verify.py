"""Proves that a data directory is what its manifest says, byte by byte.

    python -m preprocessing.verify --data_dir=runs/quickstart/data

It reads every file: hashes, checksums, counts, the lengths of every record against its
sidecar and the histogram, the range of every id, and that pairs read = records +
rejects. Damage is exit code 65, with the shard and record named.
"""

import collections
import dataclasses
import functools
import gzip
import pathlib
import sys

import numpy as np

from flags import binding
from pipeline import (
    exits,
    files,
    knobs,
    manifest,
    progress,
    records,
    runtime,
    vocabulary,
)

_BATCH_RECORDS = 8192


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """What to verify."""

    data_dir: str = knobs.knob(
        help_text="The data directory, from preprocessing.build."
    )


def main(asked: VerifyConfig) -> None:
    """Verifies everything; the first thing that is wrong ends it."""
    data_dir = pathlib.Path(asked.data_dir)
    facts = manifest.read(data_dir)
    entries = (facts.src_vocabulary, facts.tgt_vocabulary)
    vocabularies = vocabulary.load(data_dir, entries)
    _check_rejects(facts, data_dir)
    with_records = [name for name, split in facts.splits.items() if split.num_records]
    for name in with_records:
        manifest.check_files(facts, data_dir, name)
    runtime.start()
    total = sum(split.num_records for split in facts.splits.values())
    with progress.Progress("verifying", unit="records", total=total) as bar:
        for name in with_records:
            split = facts.split(name)
            for shard in split.shards:
                _check_shard(data_dir / shard.name, shard, vocabularies)
                bar.update(shard.records)
            _check_histogram(data_dir, name, split)
    shards = sum(len(split.shards) for split in facts.splits.values())
    print(f"{data_dir}: {total:,} records in {shards} shards are as the manifest says")


def _check_rejects(facts: manifest.Manifest, data_dir: pathlib.Path) -> None:
    """Counts what was left out, and that the numbers of each split add up."""
    told: collections.Counter[str] = collections.Counter()
    for name, split in facts.splits.items():
        told.update(split.rejects)
        written = split.num_records + sum(split.rejects.values())
        if written != split.pairs_read:
            raise _wrong(
                data_dir / manifest.FILENAME,
                f"{name}: {split.pairs_read} pairs read, but {written} accounted for",
            )
    path = data_dir / "rejects.tsv.gz"
    if not path.is_file():
        raise _wrong(path, "is missing")
    try:
        lines = gzip.decompress(path.read_bytes()).split(b"\n")[1:-1]
    except (EOFError, gzip.BadGzipFile) as error:
        raise _wrong(path, f"damaged ({error})") from None
    found = collections.Counter(line.split(b"\t")[2].decode() for line in lines)
    if found != told:
        raise _wrong(path, f"has {dict(found)}, the manifest says {dict(told)}")


def _check_shard(
    path: pathlib.Path, shard: manifest.Shard, vocabularies: vocabulary.Vocabularies
) -> None:
    """Reads a shard: frames, hash, lengths, ids."""
    if damage := records.locate_damage(path):
        raise _wrong(path, damage)
    if files.sha256(path) != shard.sha256:
        raise _wrong(path, "its SHA-256 differs from the manifest's")
    sidecar = records.lengths_path(path)
    if files.sha256(sidecar) != shard.lengths_sha256:
        raise _wrong(sidecar, "its SHA-256 differs from the manifest's")
    wanted = records.read_lengths(path, shard.records).astype(np.int64)
    first = 0
    for src, tgt, lengths in records.read_ids(path, _BATCH_RECORDS):
        rows = wanted[first : first + len(lengths)]
        differs = (lengths != rows).any(axis=1)
        for ids, size, column in (
            (src, vocabularies.src.size, 0),
            (tgt, vocabularies.tgt.size, 1),
        ):
            values, row_of = ids.flat_values.numpy(), ids.value_rowids().numpy()
            outside = (values < vocabulary.UNK_ID) | (values >= size)
            differs[row_of[outside]] = True
            differs |= ids.row_lengths().numpy() != rows[:, column]
        if differs.any():
            record = first + int(np.argmax(differs))
            raise _wrong(
                path,
                f"record {record}: other lengths than its sidecar's, or "
                "an id outside the vocabulary",
            )
        first += len(lengths)
    if first != shard.records:
        raise _wrong(path, f"{first} records, the manifest says {shard.records}")


def _check_histogram(data_dir: pathlib.Path, name: str, split: manifest.Split) -> None:
    lengths = np.concatenate(
        [
            records.read_lengths(data_dir / shard.name, shard.records)
            for shard in split.shards
        ]
    )
    values, counts = np.unique(lengths, axis=0, return_counts=True)
    if not np.array_equal(np.column_stack([values, counts]), split.joint_histogram()):
        raise _wrong(
            data_dir / manifest.FILENAME, f"{name}: its histogram is not the sidecars'"
        )


def _wrong(path: pathlib.Path, what: str) -> exits.Refusal:
    return exits.Refusal(
        exits.BAD_DATA, f"{path}: {what}; build the data directory again"
    )


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, VerifyConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
