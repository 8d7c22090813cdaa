"""Which split a row belongs to, and what else is drawn for it, by hash.

A hash needs no order: the same row is dealt the same way whatever the number of
workers, and whatever else is in the corpus.
"""

import functools
import hashlib
from collections.abc import Sequence

from preprocessing import chunks, config, rows


def draw(key: bytes, seed: int, use: bytes) -> float:
    """Returns a number in [0, 1) that depends on these three alone.

    Args:
        key: What is drawn for.
        seed: Of the build.
        use: What is drawn, so that two draws for one key are independent.
    """
    hashed = _seeded(seed, use).copy()
    hashed.update(key)
    return (int.from_bytes(hashed.digest(), "little") >> 11) / 2**53


@functools.cache
def _seeded(seed: int, use: bytes) -> "hashlib.blake2b":
    return hashlib.blake2b(digest_size=8, key=seed.to_bytes(8, "little"), person=use)


def splits_of(
    chunk: chunks.Chunk, found: Sequence[rows.Row], build: config.BuildConfig
) -> list[str]:
    """Returns the split of each row: that of its source, or by a hash of the row."""
    if chunk.split is not None:
        return [chunk.split] * len(found)
    corpus, seed = build.corpus, build.output.seed
    test = corpus.test_fraction
    held_out = test + corpus.valid_fraction
    keys = (row.src.strip() for row in found)  # as `duplicates` has it
    if corpus.split_by == "line":
        name = (chunk.corpus or chunk.name).encode()
        keys = (
            b"\n".join((name, row.line.to_bytes(8, "little"), row.src)) for row in found
        )
    return [
        "train" if position >= held_out else "test" if position < test else "valid"
        for position in [draw(key, seed, b"split") for key in keys]
    ]


def copies(chunk: chunks.Chunk, row: rows.Row, build: config.BuildConfig) -> int:
    """Returns how often a training pair is written: its corpus's weight.

    The part after the point is drawn by hash: of weight 1.5, every second pair is
    written twice.
    """
    whole = int(chunk.weight)
    part = chunk.weight - whole
    if not part:
        return whole
    key = b"\n".join((row.line.to_bytes(8, "little"), row.src, *row.references))
    return whole + (draw(key, build.output.seed, b"weight") < part)
