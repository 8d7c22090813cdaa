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
from pipeline import config, exits, knobs, manifest, progress, runtime, vocabulary


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """What to show."""

    data_dir: str = knobs.knob(
        help_text="The data directory, from preprocessing.build."
    )
    split: str = knobs.knob("train", "Which examples.", choices=manifest.SPLITS)
    seed: int = knobs.knob(1, "Of the plan.")
    examples: int = knobs.knob(3, "Examples shown, decoded.")
    benchmark_secs: float = knobs.knob(
        0.0, "Reads batches for so many seconds and says how fast; 0 for not."
    )
    compare: bool = knobs.knob(
        False, "Measures the idiomatic tf.data pipeline over the same files too."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for times and counts that cannot be."""
        if self.benchmark_secs < 0:
            raise ValueError(
                f"--benchmark_secs must be at least 0, got {self.benchmark_secs}"
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
    data_dir = pathlib.Path(asked.show.data_dir)
    facts = manifest.read(data_dir)
    manifest.check_files(facts, data_dir, asked.show.split)
    entries = facts.pair_vocabularies()
    vocabularies = vocabulary.load(data_dir, entries)
    runtime.start()
    from pipeline import input_pipeline

    source = input_pipeline.open_split(
        data_dir, asked.show.split, asked.batch, seed=asked.show.seed
    )
    epoch = _epoch(source.plan)
    print(_bucket_table(source.plan, epoch))
    print(_summary(source.plan, epoch))
    _print_examples(
        input_pipeline.batches(source, num_epochs=1),
        vocabularies,
        asked.show.examples,
    )
    result: dict[str, Any] = {
        "split": asked.show.split,
        "examples": source.plan.num_examples,
        "dropped_too_long": source.plan.num_too_long,
        "batches": int(epoch.rows.size),
        "fill": epoch.fill,
        "plan_digest": source.plan.digest,
    }
    if asked.show.benchmark_secs:
        result |= _benchmark(asked, source)
    print(json.dumps(result))


class Epoch(NamedTuple):
    """The batches of an epoch in numbers.

    Attributes:
        buckets: The bucket of each batch, int64 [num_batches].
        rows: Its rows, filler included, int64 [num_batches].
        real_rows: Its pairs, int64 [num_batches].
        real_tokens: Source and target tokens that are not padding, int64 [num_batches].
        fill: Real tokens of the epoch over padded ones.
    """

    buckets: np.ndarray
    rows: np.ndarray
    real_rows: np.ndarray
    real_tokens: np.ndarray
    fill: float


def _epoch(plan: Any) -> Epoch:
    buckets, rows, real_rows, tokens = [], [], [], []
    for index in range(len(plan.pools(0))):
        pool = plan.pool(0, index)
        lengths = np.concatenate([plan.lengths[shard] for shard in pool.shards])
        per_row = np.where(pool.rows >= 0, lengths.sum(axis=1)[pool.rows], 0)
        if pool.num_batches:
            begins = pool.offsets[:-1]
            real_rows.append(np.add.reduceat((pool.rows >= 0).astype(np.int64), begins))
            tokens.append(np.add.reduceat(per_row, begins))
        buckets.append(pool.buckets)
        rows.append(np.diff(pool.offsets))
    chosen, sizes = np.concatenate(buckets), np.concatenate(rows)
    real_tokens = np.concatenate(tokens)
    padded = sizes * (plan.buckets.src + plan.buckets.tgt)[chosen]
    return Epoch(
        buckets=chosen,
        rows=sizes,
        real_rows=np.concatenate(real_rows),
        real_tokens=real_tokens,
        fill=float(real_tokens.sum() / padded.sum()),
    )


def _bucket_table(plan: Any, epoch: Epoch) -> str:
    lines = ["  source  target   rows  batches     pairs   fill"]
    for k in range(len(plan.buckets)):
        chosen = epoch.buckets == k
        if not chosen.any():
            continue
        src, tgt = int(plan.buckets.src[k]), int(plan.buckets.tgt[k])
        padded = int(epoch.rows[chosen].sum()) * (src + tgt)
        fill = epoch.real_tokens[chosen].sum() / padded
        lines.append(
            f"{src:8}{tgt:8}{int(plan.buckets.rows[k]):7}{int(chosen.sum()):9}"
            f"{int(epoch.real_rows[chosen].sum()):10,}  {fill:.3f}  "
            f"{'#' * round(20 * fill)}"
        )
    return "\n".join(lines)


def _summary(plan: Any, epoch: Epoch) -> str:
    largest = int(
        (
            epoch.rows * np.maximum(plan.buckets.src, plan.buckets.tgt)[epoch.buckets]
        ).max()
    )
    shapes = len(set(zip(epoch.buckets.tolist(), epoch.rows.tolist(), strict=True)))
    return (
        f"{plan.num_examples:,} examples in {epoch.rows.size:,} batches of an epoch, "
        f"{shapes} shapes; largest batch {largest:,} padded tokens a side; "
        f"fill {epoch.fill:.3f}; {plan.num_too_long:,} left out as too long; "
        f"plan {plan.digest}\n"
    )


def _print_examples(
    batches: Iterable[Any], vocabularies: vocabulary.Vocabularies, count: int
) -> None:
    for batch in batches:
        src, tgt = batch.src_ids.numpy()[:count], batch.tgt_out_ids.numpy()[:count]
        for one, other in zip(src, tgt, strict=True):
            print(f"  source  {' '.join(vocabularies.src.pieces(one[one > 0]))}")
            print(f"  target  {' '.join(vocabularies.tgt.pieces(other[other > 0]))}\n")
        return


def _benchmark(asked: InspectConfig, source: Any) -> dict[str, float]:
    """Measures our pipeline, and the idiomatic one if asked, one after the other."""
    from pipeline import idiomatic, input_pipeline

    secs = asked.show.benchmark_secs

    def first_ids(batch: Any) -> Any:
        return batch.src_ids, batch.tgt_out_ids

    ours = measure(input_pipeline.batches(source), secs, first_ids)
    print(_rates("planned", ours))
    result = ours._asdict()
    if asked.show.compare:
        longest = max(int(shard.max()) for shard in source.plan.lengths)
        dataset = idiomatic.batches(
            source.shards[: source.plan.num_shards],
            tokens_per_batch=asked.batch.tokens_per_batch,
            num_buckets=asked.batch.num_buckets,
            longest=longest,
        )
        theirs = measure(dataset, secs, lambda batch: batch)
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
    batches: Iterable[Any], secs: float, ids_of: Callable[[Any], tuple[Any, Any]]
) -> Rates:
    """Returns the rates at which batches come, the first one's start-up included.

    Args:
        batches: Endless.
        secs: How long to read.
        ids_of: Source and target ids of a batch, int [B, S] and [B, T], PAD 0.
    """
    examples = tokens = 0
    begin = time.perf_counter()
    for batch in batches:
        src, tgt = (ids.numpy() for ids in ids_of(batch))
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
