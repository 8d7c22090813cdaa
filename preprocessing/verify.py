"""Proves that a data directory is what its manifest says, byte by byte.

    python -m preprocessing.verify --data_dir=runs/quickstart/data

It reads every file: hashes, checksums, counts, the lengths of every record against its
sidecar and the histogram, the range of every id, and that pairs read = records +
rejects. Damage is exit code 65, with the shard and record named.
"""

import collections
import dataclasses
import functools
import itertools
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from flags import binding
from pipeline import (
    exits,
    files,
    frames,
    knobs,
    locations,
    manifest,
    progress,
    records,
    runtime,
    sidecars,
    vocabulary,
)
from preprocessing import accounts, lines

_BATCH_RECORDS = 8192


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """What to verify."""

    data_dir: str = knobs.knob(
        help_text="The data directory, from preprocessing.build."
    )
    sample: int = knobs.knob(0, "Pairs of each split to show, decoded.")

    def __post_init__(self) -> None:
        """Raises ValueError for a number of pairs that cannot be."""
        knobs.require_at_least(self, 0, "sample")


def main(asked: VerifyConfig) -> None:
    """Verifies everything; the first thing that is wrong ends it."""
    data_dir = locations.locate(asked.data_dir)
    facts = manifest.read(data_dir)
    src, tgt = _vocabularies(facts, data_dir)
    _check_rejects(facts, data_dir)
    with_records = [name for name, split in facts.splits.items() if split.num_records]
    for name in with_records:
        manifest.check_files(facts, data_dir, name)
    runtime.start()
    total = sum(
        shard.records for split in facts.splits.values() for shard in split.all_shards
    )
    with progress.Progress("verifying", unit="records", total=total) as bar:
        for name in with_records:
            split = facts.split(name)
            unknown = collections.Counter[str]()
            sizes = (src.size, tgt.size if tgt else 0)
            for number, shards in enumerate(split.segmentations):
                for shard in shards:
                    found = _check_shard(
                        data_dir / shard.name, shard, sizes, len(facts.label_names)
                    )
                    if not number:  # the accounts are of the best segmentation
                        unknown += found
                    bar.update(shard.records)
            _check_histogram(data_dir, name, split)
            _check_unknown(data_dir, name, split, unknown)
    count = sum(len(split.all_shards) for split in facts.splits.values())
    for name in with_records:
        for line in _sample(facts, data_dir, name, asked.sample, (src, tgt)):
            print(line)
    print(f"{data_dir}: {total:,} records in {count} shards are as the manifest says")


def _vocabularies(
    facts: manifest.Manifest, data_dir: locations.Location
) -> tuple[vocabulary.Vocabulary, vocabulary.Vocabulary | None]:
    """Returns those of source and target, none where the target is a label."""
    entries = [facts.src_vocabulary]
    if facts.tgt_vocabulary is not None:
        entries.append(facts.tgt_vocabulary)
    try:
        vocabulary.check_files(data_dir, entries)
        loaded = [vocabulary.Vocabulary(data_dir / entry.filename) for entry in entries]
    except exits.Refusal as refusal:  # here it is damage, whatever it is elsewhere
        raise exits.Refusal(exits.BAD_DATA, str(refusal)) from None
    return loaded[0], loaded[1] if len(loaded) > 1 else None


def _sample(
    facts: manifest.Manifest,
    data_dir: locations.Location,
    name: str,
    count: int,
    vocabularies: tuple[vocabulary.Vocabulary, vocabulary.Vocabulary | None],
) -> Iterator[str]:
    """Yields the first pairs of a split as their ids say them, a line each."""
    pairs = itertools.chain.from_iterable(
        _decoded(path, facts.label_names, min(count, _BATCH_RECORDS), vocabularies)
        for path in facts.shard_paths(data_dir, name)
    )
    for text, other in itertools.islice(pairs, count):
        yield f"{name}\t{text}\t{other}"


def _decoded(
    path: locations.Location,
    label_names: Sequence[str],
    batch_records: int,
    vocabularies: tuple[vocabulary.Vocabulary, vocabulary.Vocabulary | None],
) -> Iterator[tuple[str, str]]:
    """Yields source and target, or the name of the label, of each record of a shard."""
    src, tgt = vocabularies
    labels = iter(records.read_label_ids(path) if tgt is None else ())
    for src_ids, tgt_ids, _ in records.read_ids(path, batch_records):
        texts = src.decode(src_ids.to_list())
        if tgt is None:
            others = [label_names[next(labels)] for _ in texts]
        else:
            others = tgt.decode(tgt_ids.to_list())
        yield from zip(texts, others, strict=True)


def _check_rejects(facts: manifest.Manifest, data_dir: locations.Location) -> None:
    """Counts what was left out, and that the numbers of each split add up."""
    told: collections.Counter[str] = collections.Counter()
    for name, split in facts.splits.items():
        told.update(split.rejects)
        for shards in split.segmentations:
            written = sum(shard.records for shard in shards) - split.repeats
            accounted = written + sum(split.rejects.values())
            if accounted != split.pairs_read:
                raise _wrong(
                    data_dir / manifest.FILENAME,
                    f"{name}: {split.pairs_read} pairs read, but {accounted} accounted "
                    "for",
                )
    path = data_dir / "rejects.tsv.gz"
    if not path.is_file():
        raise _wrong(path, "is missing")
    try:
        found = _count_rejects(path)
    except lines.DAMAGE as error:
        raise _wrong(path, f"damaged ({error})") from None
    if found != told:
        raise _wrong(path, f"has {dict(found)}, the manifest says {dict(told)}")


def _count_rejects(path: locations.Location) -> collections.Counter[str]:
    """Returns how many rejects there are by reason."""
    found = collections.Counter[str]()
    with lines.open_bytes(path) as file:
        next(file, None)  # names of the columns
        for number, line in enumerate(file, 2):
            fields = line.split(b"\t", 3)
            if len(fields) < 4:
                raise _wrong(path, f"line {number} has not the fields of a reject")
            found[fields[2].decode()] += 1
    return found


def _check_shard(
    path: locations.Location,
    shard: manifest.Shard,
    sizes: tuple[int, int],
    num_labels: int,
) -> collections.Counter[str]:
    """Reads a shard: frames, hash, lengths, ids, labels; returns what is unknown."""
    if damage := frames.locate_damage(path):
        raise _wrong(path, damage)
    if files.sha256(path) != shard.sha256:
        raise _wrong(path, "its SHA-256 differs from the manifest's")
    sidecar = sidecars.lengths_path(path)
    if files.sha256(sidecar) != shard.lengths_sha256:
        raise _wrong(sidecar, "its SHA-256 differs from the manifest's")
    unknown = _check_ids(path, shard.records, sizes)
    if num_labels:
        _check_labels(path, num_labels)
    return unknown


def _check_ids(
    path: locations.Location, num_records: int, sizes: tuple[int, int]
) -> collections.Counter[str]:
    """Reads the ids of a shard; returns what is unknown, of each side and records."""
    wanted = sidecars.read_lengths(path, num_records).astype(np.int64)
    first = 0
    unknown = collections.Counter[str]()
    for src, tgt, lengths in records.read_ids(path, _BATCH_RECORDS):
        rows = wanted[first : first + len(lengths)]
        differs = (lengths != rows).any(axis=1)
        has_unknown = np.zeros_like(differs)
        for side, ids, size, column in (
            ("src", src, sizes[0], 0),
            ("tgt", tgt, sizes[1], 1),
        ):
            values, row_of = ids.flat_values.numpy(), ids.value_rowids().numpy()
            is_unknown = values == vocabulary.UNK_ID
            unknown[side] += int(is_unknown.sum())
            has_unknown[row_of[is_unknown]] = True
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
        unknown["records"] += int(has_unknown.sum())
        first += len(lengths)
    if first != num_records:
        raise _wrong(path, f"{first} records, the manifest says {num_records}")
    return unknown


def _check_labels(path: locations.Location, num_labels: int) -> None:
    ids = records.read_label_ids(path)
    outside = (ids < 0) | (ids >= num_labels)
    if outside.any():
        record = int(np.argmax(outside))
        raise _wrong(path, f"record {record}: label {ids[record]}, which is none")


def _check_histogram(
    data_dir: locations.Location, name: str, split: manifest.Split
) -> None:
    found = accounts.Histogram()
    for shard in split.all_shards:
        found.add(sidecars.read_lengths(data_dir / shard.name, shard.records))
    joint = np.column_stack([found.values >> 16, found.values & 0xFFFF, found.counts])
    if not np.array_equal(joint, split.joint_histogram()):
        raise _wrong(
            data_dir / manifest.FILENAME, f"{name}: its histogram is not the sidecars'"
        )


def _check_unknown(
    data_dir: locations.Location,
    name: str,
    split: manifest.Split,
    found: collections.Counter[str],
) -> None:
    differing = [
        f"{found[what]} {what} unknown, the manifest says {count}"
        for what, count in split.unknown.items()
        if found[what] != count
    ]
    if differing:
        raise _wrong(data_dir / manifest.FILENAME, f"{name}: {differing[0]}")


def _wrong(path: locations.Location, what: str) -> exits.Refusal:
    return exits.Refusal(
        exits.BAD_DATA,
        f"{path}: {what}; build the data directory again, with --overwrite",
    )


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, VerifyConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
