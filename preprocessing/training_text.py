"""What subwords and labels are learned from: the training rows of a chunk.

Nothing in it depends on other chunks, so any number of processes can look for it.
"""

from collections.abc import Iterator, Sequence

from pipeline import exits
from preprocessing import chunks, cleaning, config, labels, rows, splitting


def training_rows(
    chunk: chunks.Chunk, marks: bytes | None, build: config.BuildConfig
) -> Iterator[rows.Row]:
    """Yields the rows of the training split that are no duplicates.

    Args:
        chunk: The rows.
        marks: One byte a row, see `duplicates`; None where all are kept.
        build: The settings.
    """
    if chunk.split not in (None, "train"):
        return
    found = chunk.rows()
    splits = splitting.splits_of(chunk, found, build)
    for row, split, mark in zip(found, splits, marks or bytes(chunk.size), strict=True):
        if split == "train" and not mark:
            yield row


def texts(
    chunk: chunks.Chunk,
    marks: bytes | None,
    build: config.BuildConfig,
    sides: Sequence[str],
    share: float,
) -> Iterator[str]:
    """Yields the usable text of some sides, of a share of the pairs drawn by hash."""
    for row in training_rows(chunk, marks, build):
        key = b"\n".join((row.line.to_bytes(8, "little"), row.src))
        drawn = splitting.draw(key, build.output.seed, b"subwords") if share < 1 else 0
        if drawn >= share:
            continue
        pair = cleaning.clean_text(row, build.cleaning, keep=False)
        if isinstance(pair, cleaning.Pair):
            if "src" in sides:
                yield pair.src
            if "tgt" in sides:
                yield from pair.references


def label_names(
    chunk: chunks.Chunk, build: config.BuildConfig, renamed: dict[str, str] | None
) -> set[str]:
    """Returns the names of the classes in training rows and in those dealt by hash.

    A class of which every row was dealt to valid or test is one too: what a hash does
    must not refuse a build.

    Args:
        chunk: The rows.
        build: The settings.
        renamed: See `labels.renaming`.

    Raises:
        exits.Refusal: If `--label_map` has no name for one.
    """
    if chunk.split not in (None, "train"):
        return set()
    names = set()
    found = chunk.rows()
    splits = splitting.splits_of(chunk, found, build)
    for row, split in zip(found, splits, strict=True):
        pair = cleaning.clean_text(row, build.cleaning, keep=split != "train")
        if isinstance(pair, str) or not pair.references[0].strip():
            continue
        try:
            names.add(labels.rename(pair.references[0], renamed))
        except labels.UnknownLabelError as error:
            raise exits.Refusal(
                exits.BAD_DATA, f"{chunk.name}, line {row.line}: {error}"
            ) from None
    return names


def first_reason(
    chunk: chunks.Chunk, marks: bytes | None, build: config.BuildConfig
) -> str:
    """Returns why the first training row was left out, as a phrase."""
    for row in training_rows(chunk, marks, build):
        reason = cleaning.clean_text(row, build.cleaning, keep=False)
        if isinstance(reason, str):
            return f" ({chunk.name}, line {row.line}: {reason})"
    return ""
