"""The data directory of a run: what is in it, how long, what was left out and why."""

from collections.abc import Sequence

import numpy as np

from pipeline import exits, locations, manifest
from trainers.reporting import charts, collecting, markup

_SHOWN = 0.999  # share of the examples that the axis holds


def facts(run: collecting.Run) -> manifest.Manifest | str:
    """Returns the manifest of a run's data, or in words why there is none."""
    try:
        return manifest.read(locations.locate(run.flags["data_dir"]))
    except (exits.Refusal, OSError, KeyError) as error:
        return str(error)


def describe(found: manifest.Manifest) -> list[markup.Markup]:
    """Returns the tables about splits and sources, and the lengths."""
    parts = [markup.tag("p", _told(found), class_="told"), _splits(found)]
    rejects = _rejects(found)
    if rejects is not None:
        parts += [markup.tag("h3", "Left out, by reason"), rejects]
    drawn = [
        chart
        for split in ("train", "valid")
        if (chart := _lengths(found, split)) is not None
    ]
    return [*parts, markup.tag("div", drawn, class_="charts")]


def is_balanced(split: manifest.Split) -> bool:
    """Returns whether every pair read became a record or has a reason."""
    left_out = sum(split.rejects.values())
    return split.pairs_read + split.repeats == split.num_records + left_out


def _told(found: manifest.Manifest) -> str:
    src, tgt = found.src_vocabulary, found.tgt_vocabulary
    if tgt is None:
        return f"{src.size:,} subwords; {len(found.label_names)} classes."
    if tgt.sha256 == src.sha256:
        return f"{src.size:,} subwords for both sides."
    return f"{src.size:,} source and {tgt.size:,} target subwords."


def _splits(found: manifest.Manifest) -> markup.Markup:
    head = ["split", "read", "repeats", "left out", "kept", "source tokens"]
    head += ["target tokens"] if found.tgt_vocabulary is not None else []
    rows = [
        [
            name,
            f"{split.pairs_read:,}",
            f"{split.repeats:,}",
            f"{sum(split.rejects.values()):,}",
            f"{split.num_records:,}",
            f"{sum(shard.src_tokens for shard in split.shards):,}",
            f"{sum(shard.tgt_tokens for shard in split.shards):,}",
        ]
        for name, split in found.splits.items()
        if split.pairs_read
    ]
    return markup.table(head, [row[: len(head)] for row in rows])


def _rejects(found: manifest.Manifest) -> markup.Markup | None:
    splits = [name for name, split in found.splits.items() if split.pairs_read]
    counts: dict[str, list[int]] = {}
    for place, name in enumerate(splits):
        for reason, count in found.splits[name].rejects.items():
            counts.setdefault(reason, [0] * len(splits))[place] += count
    rows = [
        [reason, *(f"{count:,}" for count in counts[reason])]
        for reason in sorted(counts, key=lambda name: -sum(counts[name]))
        if any(counts[reason])
    ]
    return markup.table(["reason", *splits], rows) if rows else None


def _lengths(found: manifest.Manifest, split: str) -> markup.Markup | None:
    if split not in found.splits or not found.splits[split].num_records:
        return None
    joint = found.splits[split].joint_histogram()
    series = [
        charts.Series(name, _marginal(joint, side), side)
        for side, name in enumerate(("source", "target"))
        if joint[:, side].any()
    ]
    return charts.lines(
        f"Lengths, {split}",
        series,
        x_label="tokens",
        y_label="examples",
        from_zero=True,
    )


def _marginal(joint: np.ndarray, side: int) -> Sequence[charts.Point]:
    """Returns length and number of examples, up to nearly the longest."""
    counts = np.bincount(joint[:, side], weights=joint[:, 2])
    last = int(np.searchsorted(np.cumsum(counts), _SHOWN * counts.sum()))
    return [(length, float(counts[length])) for length in range(last + 1)]
