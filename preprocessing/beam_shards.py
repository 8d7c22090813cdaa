"""Shards of a cluster's build: one worker writes each, from the parts of all chunks."""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pipeline import locations, manifest, sidecars
from preprocessing import accounts, beam_store, encoder, rejects_file, shards

Key = tuple[str, int, int]  # split, segmentation, index
Part = tuple[int, bytes, bytes]  # number of the chunk, records, lengths


def write(
    directory: str, num_shards: dict[str, int], found: tuple[Key, Iterable[Part]]
) -> Iterator[tuple[str, Any]]:
    """Writes a shard and its sidecar; yields what the manifest says, and its lengths.

    The parts come in any order and are put in that of the chunks, so a shard has to fit
    in the memory of a worker.

    Args:
        directory: Where to.
        num_shards: Of each split, the empty ones included: part of the name.
        found: Which shard, and its parts.
    """
    (split, segmentation, index), parts = found
    ordered = sorted(parts)
    count = num_shards[split]
    name = manifest.shard_name(split, index, count, segmentation)
    path = locations.locate(directory) / name
    framed = [part for _, part, _ in ordered]
    lengths = b"".join(part for _, _, part in ordered)
    digest = hashlib.sha256()
    for part in framed:
        digest.update(part)
    beam_store.write(path, framed)
    beam_store.write(sidecars.lengths_path(path), [lengths])
    num_bytes = sum(map(len, framed))
    tally = shards.Tally()
    pairs = tally.add(lengths)
    shard = tally.described(name, num_bytes, digest.hexdigest())
    yield "shards", (0, ((split, segmentation, index), shard))
    for value, times in zip(
        *map(np.ndarray.tolist, accounts.joint_lengths(pairs)), strict=True
    ):
        yield "lengths", ((split, value), times)


def finish(
    directory: locations.Location,
    scratch: str,
    recipe: encoder.Recipe,
    num_sources: int,
) -> tuple[dict[str, manifest.Split], list[accounts.Account]]:
    """Does what is left when all shards are written: their names, rejects, accounts.

    Args:
        directory: Where the shards are.
        scratch: Where the counts are.
        recipe: What they were made from.
        num_sources: How many sources there are.
    """
    for attempt in directory.glob(f"*{beam_store.ATTEMPT}*"):
        attempt.unlink()  # of a worker that was killed
    _join_rejects(directory, scratch)
    total: accounts.Counts = accounts.Counts(dict(_all(f"{scratch}/counts")))
    written: dict[Key, manifest.Shard] = dict(_all(f"{scratch}/shards"))
    splits = {}
    for split in manifest.SPLITS:
        named = [
            _named(directory, written, split, segmentation)
            for segmentation in range(_num_segmentations(recipe, split))
        ]
        lengths = _joint_lengths(scratch, split)
        splits[split] = accounts.split(total, split, named, lengths)
    return splits, accounts.by_source(total, num_sources)


def _join_rejects(directory: locations.Location, scratch: str) -> None:
    header = rejects_file.compressed(rejects_file.HEADER)
    members = (member for _, member in _all(f"{scratch}/rejects"))
    rejects = itertools.chain([header], members)
    beam_store.write(directory / "rejects.tsv.gz", rejects)


def _joint_lengths(scratch: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the joint lengths that a split has, int64 [K], and how often each."""
    histogram = np.array(
        sorted(
            (value, times)
            for (name, value), times in _all(f"{scratch}/lengths")
            if name == split
        ),
        np.int64,
    ).reshape(-1, 2)
    return histogram[:, 0], histogram[:, 1]


def _all(folder: str) -> Iterator[Any]:
    return itertools.chain.from_iterable(
        values for _, values in beam_store.each(folder)
    )


def _num_segmentations(recipe: encoder.Recipe, split: str) -> int:
    drawn = recipe.build.subwords.subword_samples
    return max(1, drawn) if split == "train" else 1


def _named(
    directory: locations.Location,
    written: dict[Key, manifest.Shard],
    split: str,
    segmentation: int,
) -> list[manifest.Shard]:
    """Returns the shards that got records, under names that say how many there are."""
    own = sorted(
        (
            (index, shard)
            for (name, number, index), shard in written.items()
            if (name, number) == (split, segmentation)
        ),
        key=lambda pair: pair[0],
    )
    found = []
    for index, (_, shard) in enumerate(own):
        name = manifest.shard_name(split, index, len(own), segmentation)
        if name != shard.name:
            path = directory / shard.name
            for old, new in (
                (path, directory / name),
                (sidecars.lengths_path(path), sidecars.lengths_path(directory / name)),
            ):
                locations.rename(old, new)
        found.append(dataclasses.replace(shard, name=name))
    return found
