"""What became of every pair, as tables for people."""

from typing import Any

from pipeline import manifest
from preprocessing import subword_config

_WIDEST_NAME = 40


def table(done: manifest.Manifest) -> str:
    """Returns the accounts of splits and of sources, and what else is to be told."""
    lines = [*_splits(done), ""]
    accounted = [source for source in done.sources if "rows" in source]
    if len(accounted) > 1:
        lines += [*_sources(accounted), ""]
    lines += _notes(done)
    return "\n".join(lines)


def _splits(done: manifest.Manifest) -> list[str]:
    lines = [f"{'split':8}{'pairs read':>12}{'written':>12}{'left out':>12}  reasons"]
    for name, split in done.splits.items():
        left_out = sum(split.rejects.values())
        lines.append(
            f"{name:8}{split.pairs_read:12,}{split.num_records:12,}{left_out:12,}"
            f"  {_reasons(split.rejects)}"
        )
    return lines


def _sources(sources: list[dict[str, Any]]) -> list[str]:
    width = min(_WIDEST_NAME, max(len(source["name"]) for source in sources)) + 2
    lines = [f"{'source':{width}}{'rows':>12}{'kept':>12}{'weight':>8}  reasons"]
    lines += [
        f"{source['name'][:_WIDEST_NAME]:{width}}{source['rows']:12,}"
        f"{source['pairs_kept']:12,}{source['weight']:8g}"
        f"  {_reasons(source['rejects'])}"
        for source in sources
    ]
    return lines


def _notes(done: manifest.Manifest) -> list[str]:
    entries = {done.src_vocabulary.filename: done.src_vocabulary.size}
    if done.tgt_vocabulary is not None:
        entries[done.tgt_vocabulary.filename] = done.tgt_vocabulary.size
    told = [", ".join(f"{name} {size:,} pieces" for name, size in entries.items())]
    if done.label_names:
        told.append(f"{len(done.label_names)} labels: {_some(done.label_names)}")
    train = done.splits["train"]
    if train.repeats:
        told.append(f"{train.repeats:,} training records are repeats, for their weight")
    if train.truncated:
        told.append(f"{train.truncated:,} training pairs were truncated")
    if train.resampled:
        count = len(train.segmentations)
        told.append(f"{count} segmentations of each training pair")
    told += [
        _unknown(name, split, done)
        for name, split in done.splits.items()
        if split.unknown.get("records")
    ]
    for split, counts in done.overlap.items():
        if counts["pairs"] or counts["sources"]:
            way_out = dict.fromkeys(("pair", "source"), "")
            way_out[done.settings["same_by"]] = _way_out(done, "drop_overlap")
            told.append(
                f"{counts['pairs']:,} training pairs are also in {split}"
                f"{way_out['pair']}, {counts['sources']:,} have a source of {split}"
                f"{way_out['source']}"
            )
    return told


def _unknown(name: str, split: manifest.Split, done: manifest.Manifest) -> str:
    """Says how much of a split no vocabulary has: text that no model can write."""
    tokens = {
        "src": sum(shard.src_tokens for shard in split.shards),
        "tgt": sum(shard.tgt_tokens for shard in split.shards),
    }
    sides = [side for side in tokens if split.unknown[side]]
    parts = [
        f"{split.unknown[side]:,} of {tokens[side]:,} {side} subwords" for side in sides
    ]
    kinds = {
        done.settings[f"{side}_model_type"] or done.settings["model_type"]
        for side in sides
    }
    way_out = "" if kinds <= subword_config.FIXED_TYPES else "; see --byte_fallback"
    records = f"{split.unknown['records']:,} of {split.num_records:,} records"
    return f"{name}: {' and '.join(parts)} are unknown, in {records}{way_out}"


def _way_out(done: manifest.Manifest, flag: str) -> str:
    return " (left out)" if done.settings[flag] else f" (see --{flag})"


def _reasons(rejects: dict[str, int]) -> str:
    return ", ".join(f"{why} {count:,}" for why, count in rejects.items()) or "-"


def _some(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
