"""From the rows of a chunk to the pairs whose text is kept, and why others are not."""

import dataclasses

from pipeline import exits
from preprocessing import (
    chunks,
    cleaning,
    config,
    duplicates,
    labels,
    rejects_file,
    rows,
    splitting,
)

_MARKED = {
    duplicates.IS_DUPLICATE: cleaning.DUPLICATE,
    duplicates.IS_OVERLAP: cleaning.OVERLAP,
}


@dataclasses.dataclass
class Pairs:
    """Pairs whose text is kept, a list for each property: tuples cost as much as ids.

    Attributes:
        rows: Where each was read.
        splits: Of each.
        src: Sources.
        tgt: Targets, or the first of several references; empty where there are labels.
        references: As they were read.
        copies: How often each is written.
        labels: Of each, where there are labels.
    """

    rows: list[rows.Row]
    splits: list[str]
    src: list[str]
    tgt: list[str]
    references: list[tuple[bytes, ...]]
    copies: list[int]
    labels: list[labels.Label | None]


def of_chunk(
    chunk: chunks.Chunk,
    marks: bytes | None,
    build: config.BuildConfig,
    known: labels.Labels | None,
) -> tuple[Pairs, list[rejects_file.Reject]]:
    """Returns the pairs whose text is kept, and the others.

    Args:
        chunk: The rows.
        marks: One byte a row, see `duplicates`; None where all are kept.
        build: The settings.
        known: The classes, where there are labels.

    Raises:
        exits.Refusal: If there is no such class, or the label of a row that was given
            as a held-out one cannot be read.
    """
    found = chunk.rows()
    splits = splitting.splits_of(chunk, found, build)
    plain = chunk.weight == 1 and known is None
    if plain and not any(marks or b""):
        clean = cleaning.clean_together(found, build.cleaning)
        if clean is not None:
            references = [row.references for row in found]
            ones = [1] * len(found)
            none: list[labels.Label | None] = [None] * len(found)
            return Pairs(found, splits, *clean, references, ones, none), []
    collector = _Collector(chunk, build, known)
    marks = marks or bytes(chunk.size)
    for row, split, mark in zip(found, splits, marks, strict=True):
        reason = collector.add(row, split, mark)
        if reason is not None:
            collector.reject(row, split, reason)
    return collector.pairs, collector.rejects


class _Collector:
    """Takes the rows of a chunk one by one."""

    def __init__(
        self,
        chunk: chunks.Chunk,
        build: config.BuildConfig,
        known: labels.Labels | None,
    ) -> None:
        """Has no pair yet."""
        self.pairs = Pairs([], [], [], [], [], [], [])
        self.rejects: list[rejects_file.Reject] = []
        self._chunk = chunk
        self._build = build
        self._known = known

    def add(self, row: rows.Row, split: str, mark: int) -> str | None:
        """Adds the pairs that a row holds, or returns why it is left out."""
        train = split == "train"
        result = cleaning.clean_text(row, self._build.cleaning, keep=not train)
        if isinstance(result, str):
            return result
        copies = 1
        if train:
            if mark:
                return _MARKED[mark]
            if self._chunk.weight != 1:
                copies = splitting.copies(self._chunk, row, self._build)
            if not copies:
                return cleaning.WEIGHT
        src, texts = result
        label = None
        if self._known is not None:
            if not texts[0].strip():
                return cleaning.EMPTY
            label = _label(self._known, row, texts[0], split, self._chunk)
            if label is None:
                return cleaning.LABEL
            targets = [("", row.references)]
        elif train:  # each reference is something to learn from
            targets = [
                (tgt, (raw,)) for tgt, raw in zip(texts, row.references, strict=True)
            ]
            if len(targets) > 1 and self._build.cleaning.dedup:
                targets = self._once(targets, row)
        else:
            targets = [(texts[0], row.references)]
        pairs = self.pairs
        for tgt, references in targets:
            pairs.rows.append(row)
            pairs.splits.append(split)
            pairs.src.append(src)
            pairs.tgt.append(tgt)
            pairs.references.append(references)
            pairs.copies.append(copies)
            pairs.labels.append(label)
        return None

    def reject(self, row: rows.Row, split: str, reason: str) -> None:
        """Adds a row, or one reference of it, to what is left out."""
        text = b"\t".join((row.src, *row.references))
        self.rejects.append(rejects_file.Reject(split, row.line, reason, text))

    def _once(
        self, targets: list[tuple[str, tuple[bytes, ...]]], row: rows.Row
    ) -> list[tuple[str, tuple[bytes, ...]]]:
        """Returns the targets of a training row, those that repeat others rejected."""
        found: dict[bytes, tuple[str, tuple[bytes, ...]]] = {}
        for tgt, references in targets:
            key = references[0].strip()  # as `duplicates` has it
            if key in found:
                again = row._replace(references=references)
                self.reject(again, "train", cleaning.DUPLICATE)
            else:
                found[key] = (tgt, references)
        return list(found.values())


def _label(
    known: labels.Labels, row: rows.Row, text: str, split: str, chunk: chunks.Chunk
) -> labels.Label | None:
    """Returns a row's label, or None for shares that cannot be read.

    Raises:
        exits.Refusal: If there is no such class, or such shares are of a held-out row
            that was given as one.
    """
    try:
        return known.read(text)
    except ValueError as error:
        unknown = isinstance(error, labels.UnknownLabelError)
        if not unknown and chunk.split in (None, "train"):
            return None
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{chunk.name}, line {row.line} ({split}): {error}; see --label_names and "
            "--label_map",
        ) from None
