"""Sources: a split of one or more data directories, checked, and the plan over it.

data directories   manifests and sidecars alone are read; of a large corpus the
sidecars later, pool by pool
buckets            learned from the joint length histograms of all
plan               of every batch of every epoch
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline import (
    bucketing,
    config,
    examples,
    exits,
    locations,
    manifest,
    mixing,
    sidecars,
    visits,
)
from pipeline import plan as plan_lib

# Lengths of more pairs are read pool by pool and not held: 4 bytes each.
_HELD_PAIRS = 50_000_000
_SCORED_BUCKETS = 16  # of a split that is scored


class Source(NamedTuple):
    """A split of one or more data directories and the plan of its batches.

    Attributes:
        shards: For each shard of the plan, its file in every segmentation.
        stats: Size and time of last change of each, as they were planned with.
        plan: Which of their rows make which batch.
        tokens: Of each, in the first epoch: source and target without BOS or EOS.
        kind: What the records hold.
    """

    shards: list[tuple[locations.Location, ...]]
    stats: list[tuple[tuple[int, int], ...]]
    plan: plan_lib.Plan
    tokens: list[int]
    kind: examples.Kind = examples.PAIRS

    def files(self, epoch: int, shards: Iterable[int]) -> list[locations.Location]:
        """Returns the files of some shards that an epoch reads."""
        return [
            self.shards[shard][self.plan.segmentation(shard, epoch)] for shard in shards
        ]

    def check_unchanged(self, epoch: int, shards: Iterable[int]) -> None:
        """Refuses files of an epoch that are not those of the plan any more.

        Raises:
            exits.Refusal: If one of these shards was removed or replaced.
        """
        for shard in shards:
            number = self.plan.segmentation(shard, epoch)
            path = self.shards[shard][number]
            same = path.is_file() and _stat(path) == self.stats[shard][number]
            if not same:
                raise exits.Refusal(
                    exits.BAD_DATA,
                    f"{path}: was removed or replaced while it was read; start again, "
                    "in a new --workdir if the data is not the same",
                )


def open_split(
    data_dir: locations.Location,
    split: str,
    batch_config: config.BatchConfig,
    *,
    seed: int,
    default_multiple: int = 1,
    kind: examples.Kind | None = None,
) -> Source:
    """Checks the files of a split and plans its batches.

    Args:
        data_dir: A data directory.
        split: `train`, `valid` or `test`.
        batch_config: How to group examples; its mixture is not looked at.
        seed: Of the plan.
        default_multiple: Boundary multiple where the config leaves it open.
        kind: What to make of the records; what the manifest says if None.

    Raises:
        exits.Refusal: If a file is missing or not as the manifest says, or if the
            settings leave nothing to read.
    """
    alone = mixing.Corpus(data_dir, manifest.read(data_dir))
    return open_corpora(
        [alone],
        split,
        batch_config,
        seed=seed,
        default_multiple=default_multiple,
        kind=kind,
    )


def open_whole(
    data_dir: locations.Location,
    split: str,
    *,
    tokens: int = config.DEFAULT_TOKENS,
    attention_budget: int | None = None,
    kind: examples.Kind | None = None,
) -> Source:
    """Opens a split to be scored: nothing is left out, whatever its length.

    Args:
        data_dir: A data directory.
        split: `train`, `valid` or `test`.
        tokens: As `--tokens_per_batch`; more where the longest example has more.
        attention_budget: As the flag, and more for the longest example.
        kind: As `open_split` takes it.

    Raises:
        exits.Refusal: As `open_split`.
    """
    held_out = manifest.read(data_dir).split(split)
    longest = int(held_out.joint_histogram()[:, :2].max()) + 1  # with EOS
    batch = config.BatchConfig(
        tokens_per_batch=max(tokens, longest),
        attention_budget=attention_budget and max(attention_budget, longest**2),
        num_buckets=_SCORED_BUCKETS,
    )
    return open_split(data_dir, split, batch, seed=0, kind=kind)


def open_corpora(
    corpora: Sequence[mixing.Corpus],
    split: str,
    batch_config: config.BatchConfig,
    *,
    seed: int,
    default_multiple: int = 1,
    kind: examples.Kind | None = None,
) -> Source:
    """Checks and plans a split of several data directories as one; see `open_split`."""
    for corpus in corpora:
        manifest.check_files(corpus.facts, corpus.directory, split)
    shards, paths, tokens = _shards(corpora, split)
    plan = plan_of(
        shards,
        corpora,
        split,
        batch_config,
        seed=seed,
        default_multiple=default_multiple,
    )
    stats = [tuple(map(_stat, files)) for files in paths]
    kind = kind or examples.kind_of(corpora[0].facts)
    return Source(paths, stats, plan, tokens, kind)


def plan_of(
    shards: Sequence[visits.Shard],
    corpora: Sequence[mixing.Corpus],
    split: str,
    batch_config: config.BatchConfig,
    *,
    seed: int,
    default_multiple: int = 1,
) -> plan_lib.Plan:
    """Returns the plan of a split whose shards are opened already.

    Args:
        shards: Those of the split, such as another plan has them.
        corpora: What they are of.
        split: Which one.
        batch_config: How to group examples.
        seed: Of the plan.
        default_multiple: As `open_split` takes it.

    Raises:
        exits.Refusal: If the settings leave nothing to read.
    """
    histogram, max_length = _lengths(corpora, split, batch_config)
    try:
        return plan_lib.Plan(
            shards,
            _buckets(histogram, batch_config, default_multiple),
            pool_examples=batch_config.pool_examples,
            max_length=max_length,
            seed=seed,
            num_lanes=batch_config.plan_lanes,
            row_multiple=batch_config.row_step,
            counts=None
            if _are_held(corpora, split)
            else _counts(corpora, split, max_length),
        )
    except ValueError as error:
        raise exits.Refusal(exits.BAD_DATA, str(error)) from None


def _are_held(corpora: Sequence[mixing.Corpus], split: str) -> bool:
    """Returns whether all lengths are read at once, and not pool by pool."""
    # Those of every segmentation are.
    num_records = sum(
        entry.records
        for corpus in corpora
        for entry in corpus.facts.split(split).all_shards
    )
    return num_records <= _HELD_PAIRS


def _shards(
    corpora: Sequence[mixing.Corpus], split: str
) -> tuple[list[visits.Shard], list[tuple[locations.Location, ...]], list[int]]:
    """Returns the shards for the plan, their files, and their tokens in epoch 0."""
    held = _are_held(corpora, split)
    shards: list[visits.Shard] = []
    paths: list[tuple[locations.Location, ...]] = []
    tokens: list[int] = []
    for number, corpus in enumerate(corpora):
        segmentations = corpus.facts.split(split).segmentations
        for entries in zip(*segmentations, strict=True):
            files = tuple(corpus.directory / entry.name for entry in entries)
            lengths = tuple(
                sidecars.read_lengths(path, entry.records)
                if held
                else sidecars.Sidecar(path, entry.records)
                for path, entry in zip(files, entries, strict=True)
            )
            shards.append(visits.Shard(lengths, corpus.rate, number))
            paths.append(files)
            tokens.append(entries[0].src_tokens + entries[0].tgt_tokens)
    return shards, paths, tokens


def _counts(
    corpora: Sequence[mixing.Corpus], split: str, max_length: int
) -> plan_lib.Counts | None:
    """Returns what the manifests say of the first epoch, None where they do not.

    Rates are kept by a hash of each pair, and the histogram of several segmentations
    does not tell them apart.
    """
    examples = too_long = 0
    for corpus in corpora:
        found = corpus.facts.split(split)
        if corpus.rate != 1 or found.resampled:
            return None
        histogram = found.joint_histogram()
        kept = histogram[:, :2].max(axis=1) < max_length
        examples += int(histogram[kept, 2].sum())
        too_long += int(histogram[~kept, 2].sum())
    return plan_lib.Counts(examples, too_long)


def _lengths(
    corpora: Sequence[mixing.Corpus], split: str, batch_config: config.BatchConfig
) -> tuple[np.ndarray, int]:
    """Returns the joint histogram to learn from, float64 [M, 3], and the longest side.

    Lengths count BOS or EOS; pairs are counted as often as an epoch has them.
    """
    parts = []
    for corpus in corpora:
        found = corpus.facts.split(split)
        # Of all segmentations, which are in it, an epoch has one.
        count = 1 + len(found.resampled) if len(corpora) > 1 else 1
        share = np.array([1, 1, corpus.rate / count])
        parts.append(found.joint_histogram() * share)
    histogram = np.concatenate(parts) + np.array([1, 1, 0])
    sides = histogram[:, :2].astype(np.int64).max(axis=1)
    longest = int(sides.max())
    max_length = min(longest, batch_config.max_length or longest)
    kept = sides <= max_length
    if not kept.any():
        raise exits.Refusal(
            exits.BAD_DATA,
            f"--max_length={max_length} leaves no {split} pair; the shortest has "
            f"{int(sides.min())} tokens",
        )
    return histogram[kept], max_length


def _buckets(
    histogram: np.ndarray, batch_config: config.BatchConfig, default_multiple: int
) -> bucketing.Buckets:
    """Learns the boundaries from a joint histogram, float64 [M, 3].

    Raises:
        ValueError: If the longest pair does not fit.
    """
    return bucketing.learn(
        histogram,
        num_buckets=batch_config.num_buckets,
        multiple=batch_config.bucket_multiple or default_multiple,
        budget=bucketing.Budget(
            batch_config.tokens,
            batch_config.batch_rows,
            batch_config.attention_budget,
            batch_config.row_step,
        ),
    )


def _stat(path: locations.Location) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
