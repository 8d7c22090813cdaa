"""Shows the batches a data directory will give, before anything is trained.

    python -m pipeline.inspect --data_dir=runs/quickstart/data --benchmark_secs=10

The last line of stdout is one JSON object.
"""

import dataclasses
import functools
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from flags import binding
from pipeline import (
    config,
    epoch,
    exits,
    files,
    knobs,
    locations,
    manifest,
    mixing,
    pictures,
    progress,
    runtime,
    vocabulary,
)
from pipeline import plan as plan_lib

_CHOICES = (1, 2, 4, 8, 16, 32, 64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """What to show."""

    data_dir: str = knobs.knob(
        help_text="The data directory, from preprocessing.build."
    )
    split: str = knobs.knob("train", "Which examples.", choices=manifest.SPLITS)
    seed: int = knobs.knob(1, "Of the plan.")
    examples: int = knobs.knob(3, "Examples shown, decoded.")
    plot: str | None = knobs.knob(None, "Draws lengths and buckets into this PNG file.")
    benchmark_secs: float = knobs.knob(
        1.0, "Reads batches for so many seconds and says how fast; 0 for not."
    )
    compare: bool = knobs.knob(
        False, "Measures the idiomatic tf.data pipeline over the same files too."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for times and counts that cannot be."""
        knobs.require_at_least(self, 0, "benchmark_secs", "examples")
        if self.plot and not self.plot.endswith(".png"):
            raise ValueError(
                f"--plot must name a file that ends with .png, got {self.plot}"
            )
        if self.compare and not self.benchmark_secs:
            raise ValueError("--compare needs --benchmark_secs")


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectConfig:
    """What to show, and of which batches."""

    show: ShowConfig
    batch: config.BatchConfig


class Rates(NamedTuple):
    """How fast batches come."""

    examples_per_sec: float
    tokens_per_sec: float


def main(asked: InspectConfig) -> None:
    """Prints the bucket table, some examples and, if asked, rates."""
    data_dir = locations.locate(asked.show.data_dir)
    told = _told_by(data_dir)
    files.check_target(asked.show.plot, "--plot")
    if asked.show.compare and not told.are_pairs:
        raise exits.Refusal(
            exits.USAGE, "--compare: the idiomatic pipeline is one for pairs of texts"
        )
    corpora = mixing.corpora_of(data_dir, asked.batch, asked.show.split)
    for corpus in corpora:
        manifest.check_files(corpus.facts, corpus.directory, asked.show.split)
    runtime.start()
    from pipeline import data_sources, input_pipeline

    source = data_sources.open_corpora(
        corpora, asked.show.split, asked.batch, seed=asked.show.seed
    )

    def planned(num_buckets: int) -> plan_lib.Plan:
        return data_sources.plan_of(
            source.plan.shards,
            corpora,
            asked.show.split,
            dataclasses.replace(asked.batch, num_buckets=num_buckets),
            seed=asked.show.seed,
        )

    numbers = epoch.of(source.plan)
    print(_bucket_table(source.plan, numbers))
    print(_summary(source, numbers))
    print(_choices(planned))
    if asked.show.plot:
        _plot(asked, corpora, source, numbers)
    if asked.show.examples:
        _print_examples(input_pipeline.epoch(source), told, asked.show.examples)
    result: dict[str, Any] = {
        "split": asked.show.split,
        "examples": source.plan.num_examples,
        "dropped_too_long": source.plan.num_too_long,
        "batches": int(numbers.rows.size),
        "shapes": numbers.num_shapes,
        "fill": numbers.fill,
        "read_ahead_bytes": input_pipeline.read_ahead_bytes(source),
        "plan_digest": source.plan.digest,
    }
    if asked.show.benchmark_secs:
        result |= _benchmark(asked, source)
    print(json.dumps(result))


def _bucket_table(plan: Any, numbers: epoch.Epoch) -> str:
    lines = ["  source  target   rows  batches     pairs   fill"]
    for k in range(len(plan.buckets)):
        chosen = numbers.buckets == k
        if not chosen.any():
            continue
        src, tgt = int(plan.buckets.src[k]), int(plan.buckets.tgt[k])
        padded = int(numbers.rows[chosen].sum()) * (src + tgt)
        fill = numbers.real_tokens[chosen].sum() / padded
        lines.append(
            f"{src:8}{tgt:8}{int(plan.buckets.rows[k]):7}{int(chosen.sum()):9}"
            f"{int(numbers.real_rows[chosen].sum()):10,}  {fill:.3f}  "
            f"{'#' * round(20 * fill)}"
        )
    return "\n".join(lines)


def _summary(source: Any, numbers: epoch.Epoch) -> str:
    from pipeline import input_pipeline

    plan = source.plan
    longer = np.maximum(plan.buckets.src, plan.buckets.tgt)[numbers.buckets]
    mib = -(-input_pipeline.read_ahead_bytes(source) // 2**20)
    return (
        f"{plan.num_examples:,} examples in {numbers.rows.size:,} batches of an epoch, "
        f"{numbers.num_shapes} shapes; largest batch "
        f"{int((numbers.rows * longer).max()):,} padded tokens a side; "
        f"fill {numbers.fill:.3f}; {plan.num_too_long:,} left out as too long; "
        f"{len(plan.pools(0))} pools, reading ahead takes at most {mib} MiB; "
        f"plan {plan.digest}\n"
    )


def _choices(planned: Callable[[int], plan_lib.Plan]) -> str:
    """Returns how full batches would be with other numbers of buckets, as a table."""
    lines = ["  --num_buckets   fill   shapes"]
    for count in _CHOICES:
        numbers = epoch.of(planned(count), max_pools=1)
        lines.append(
            f"{count:15}  {numbers.fill:.3f}{numbers.num_shapes:9}  "
            f"{'#' * round(20 * numbers.fill)}"
        )
    return "\n".join([*lines, ""])


def _plot(
    asked: InspectConfig,
    corpora: list[mixing.Corpus],
    source: Any,
    numbers: epoch.Epoch,
) -> None:
    path = pathlib.Path(asked.show.plot or "")
    lengths = [
        corpus.facts.split(asked.show.split).joint_histogram() for corpus in corpora
    ]
    pictures.draw_buckets(
        np.concatenate(lengths) + np.array([1, 1, 0]),
        source.plan.buckets,
        path,
        f"{asked.show.split}: {source.plan.num_examples:,} pairs, "
        f"{len(source.plan.buckets)} buckets, fill {numbers.fill:.3f}",
    )
    print(f"lengths and buckets are drawn in {path}\n")


class _Told(NamedTuple):
    """What ids of a data directory stand for; without a target, classes do."""

    src: vocabulary.Vocabulary
    tgt: vocabulary.Vocabulary | None
    label_names: list[str]

    @property
    def are_pairs(self) -> bool:
        return self.tgt is not None

    def target(self, target: np.ndarray) -> str:
        """Says a row of target ids, int [T], or of shares of classes, float [C]."""
        if self.tgt is not None:
            return " ".join(self.tgt.pieces(target[target > 0].tolist()))
        shares = zip(self.label_names, target, strict=True)
        held = [(name, share) for name, share in shares if share > 0]
        if len(held) == 1:
            return held[0][0]
        return ", ".join(f"{name} {share:.2f}" for name, share in held)


def _told_by(data_dir: locations.Location) -> _Told:
    facts = manifest.read(data_dir)
    if facts.tgt_vocabulary is None:
        src = vocabulary.load_one(data_dir, facts.src_vocabulary)
        return _Told(src, None, facts.classes())
    both = vocabulary.load(data_dir, facts.pair_vocabularies())
    return _Told(both.src, both.tgt, [])


def _sides(batch: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns source ids [B, S], and target ids [B, T] or shares of classes [B, C].

    Those of a filler row begin with 0, or are 0.
    """
    target = batch.shares if hasattr(batch, "shares") else batch.tgt_out_ids
    return batch.src_ids.numpy(), target.numpy()


def _print_examples(batches: Iterable[Any], told: _Told, count: int) -> None:
    """Prints the first examples, fillers left out."""
    left = count
    for batch in batches:
        src, target = _sides(batch)
        real = np.flatnonzero(target.any(axis=1))[:left]
        for one, other in zip(src[real], target[real], strict=True):
            print(f"  source  {' '.join(told.src.pieces(one[one > 0].tolist()))}")
            print(
                f"  {'target' if told.are_pairs else 'label '}  {told.target(other)}\n"
            )
        left -= len(real)
        if not left:
            return


def _benchmark(asked: InspectConfig, source: Any) -> dict[str, float]:
    """Measures our pipeline, and the idiomatic one if asked, one after the other."""
    from pipeline import idiomatic, input_pipeline

    secs = asked.show.benchmark_secs

    def ids_of_sides(batch: Any) -> tuple[np.ndarray, np.ndarray]:
        """Returns ids of both sides; of classes, whether there is one."""
        src, target = _sides(batch)
        if hasattr(batch, "shares"):  # a label counts as a token
            target = (target > 0).max(axis=1, keepdims=True)
        return src, target

    stream = input_pipeline.Stream(source, plan_lib.START)
    ours = measure(stream, secs, ids_of_sides)
    stream.close()
    print(_rates("planned", ours))
    result = ours._asdict()
    if asked.show.compare:
        plan = source.plan
        every = range(len(plan.shards))
        longest = max(int(plan.lengths(shard, 0).max()) + 1 for shard in every)
        dataset = idiomatic.batches(
            source.files(0, every),
            tokens_per_batch=asked.batch.tokens or config.DEFAULT_TOKENS,
            num_buckets=asked.batch.num_buckets,
            longest=longest,
        )
        theirs = measure(
            dataset, secs, lambda batch: tuple(ids.numpy() for ids in batch)
        )
        ratio = ours.examples_per_sec / theirs.examples_per_sec
        print(_rates("idiomatic", theirs))
        print(f"ratio {ratio:.1f} in examples a second")
        result |= {
            "idiomatic_examples_per_sec": theirs.examples_per_sec,
            "idiomatic_tokens_per_sec": theirs.tokens_per_sec,
            "ratio": ratio,
        }
    return result


def measure(
    batches: Iterable[Any], secs: float, ids_of: Callable[[Any], tuple[np.ndarray, ...]]
) -> Rates:
    """Returns the rates at which batches come, the first one's start-up included.

    Args:
        batches: Endless.
        secs: How long to read.
        ids_of: Source and target ids of a batch, int [B, S] and [B, T], PAD 0, in
            numpy arrays.
    """
    examples = tokens = 0
    begin = time.perf_counter()
    for batch in batches:
        src, tgt = ids_of(batch)
        real = int((tgt[:, 0] != vocabulary.PAD_ID).sum()) if tgt.shape[1] else 0
        examples += real
        tokens += int(np.count_nonzero(src)) + int(np.count_nonzero(tgt))
        if time.perf_counter() - begin >= secs:
            break
    elapsed = time.perf_counter() - begin
    return Rates(examples / elapsed, tokens / elapsed)


def _rates(name: str, rates: Rates) -> str:
    return (
        f"{name:10} {rates.examples_per_sec:12,.0f} examples/s "
        f"{rates.tokens_per_sec:14,.0f} real tokens/s"
    )


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, InspectConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
