"""Accounts: what became of every row, by split and by source.

Counts have names and can be added, by one process or by many:

    rows, 0          rows of source 0         kept, train           pairs kept
    own, 0           pairs kept of it         repeats, train        see --train_weights
    lost, 0, empty   pairs of it left out     truncated, train      pairs cut
                                              reject, train, empty  pairs left out
                                              unknown, train, src   subwords unknown
"""

import collections
from collections.abc import Sequence

import numpy as np

from pipeline import manifest
from preprocessing import encoder

Counts = collections.Counter[tuple[str, str | int, str]]


class Account:
    """What became of the rows of one source."""

    def __init__(self) -> None:
        self.rows = 0
        self.kept = 0
        self.rejects = collections.Counter[str]()

    def as_json(self) -> dict[str, object]:
        """Returns what the manifest says of it."""
        return {
            "rows": self.rows,
            "pairs_kept": self.kept,
            "rejects": dict(sorted(self.rejects.items())),
        }


def of(encoded: encoder.Encoded) -> Counts:
    """Returns what became of a chunk."""
    found: Counts = collections.Counter()
    found["rows", encoded.source, ""] = encoded.num_rows
    found["own", encoded.source, ""] = encoded.kept.total()
    for name in ("kept", "repeats", "truncated"):
        for split, count in getattr(encoded, name).items():
            found[name, split, ""] = count
    for (split, what), count in encoded.unknown.items():
        found["unknown", split, what] = count
    for (split, reason), count in encoded.reasons.items():
        found["reject", split, reason] = count
        found["lost", encoded.source, reason] += count
    return found


def by_source(total: Counts, num_sources: int) -> list[Account]:
    """Returns the account of each source."""
    found = [Account() for _ in range(num_sources)]
    for (name, source, reason), count in total.items():
        if not isinstance(source, int):
            continue
        if name == "rows":
            found[source].rows += count
        elif name == "own":
            found[source].kept += count
        else:
            found[source].rejects[reason] += count
    return found


def joint_lengths(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns which pairs of lengths there are, and how many of each.

    Args:
        lengths: Of pairs, uint16 [N, 2].

    Returns:
        Both lengths as one number, ascending, uint32 [K], and counts, int64 [K].
    """
    # As one number: a row-wise unique is 20 times as slow.
    joint = lengths[:, 0].astype(np.uint32) << 16 | lengths[:, 1]
    return np.unique(joint, return_counts=True)


class Histogram:
    """How many pairs there are of each pair of lengths, added up part by part.

    Attributes:
        values: Both lengths as one number, ascending, uint32 [K].
        counts: Of each, int64 [K].
    """

    def __init__(self) -> None:
        self.values = np.zeros(0, np.uint32)
        self.counts = np.zeros(0, np.int64)

    def add(self, lengths: np.ndarray) -> None:
        """Counts further pairs of lengths, uint16 [N, 2]."""
        values, counts = joint_lengths(lengths)
        every = np.concatenate([self.counts, counts])
        self.values, places = np.unique(
            np.concatenate([self.values, values]), return_inverse=True
        )
        self.counts = np.zeros(len(self.values), np.int64)
        np.add.at(self.counts, places, every)


def split(
    total: Counts,
    name: str,
    segmentations: Sequence[list[manifest.Shard]],
    histogram: tuple[np.ndarray, np.ndarray],
) -> manifest.Split:
    """Returns what the manifest says of a split.

    Args:
        total: Counts of the build.
        name: Of the split.
        segmentations: Its shards, for each segmentation.
        histogram: See `joint_lengths`.
    """
    rejects = {
        reason: count
        for (kind, of_split, reason), count in sorted(total.items(), key=_reason)
        if kind == "reject" and of_split == name
    }
    values, counts = histogram
    shards, *resampled = segmentations
    return manifest.Split(
        shards=shards,
        resampled=resampled,
        pairs_read=total["kept", name, ""] + sum(rejects.values()),
        repeats=total["repeats", name, ""],
        truncated=total["truncated", name, ""],
        unknown={
            what: total["unknown", name, what] for what in ("src", "tgt", "records")
        },
        rejects=rejects,
        histogram={
            "src": (values >> 16).tolist(),
            "tgt": (values & 0xFFFF).tolist(),
            "pairs": counts.tolist(),
        },
    )


def _reason(item: tuple[tuple[str, str | int, str], int]) -> str:
    return item[0][2]
