r"""What the plan of a large corpus takes before the first batch, in time and memory.

    python -m tests.benchmarks.planning --pairs=100_000_000 --num_shards=655
    python -m tests.benchmarks.planning --pairs=1_000_000_000 --num_shards=6554 \
        --lanes=256

Lengths are made up (sidecars of 4 bytes a pair, in the temporary directory; shards are
holes in the file system); each line is measured in a process of its own. Last line of
stdout: one JSON object.
"""

import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from pipeline import files, manifest, vocabulary
from tests import programs

_LONGEST = 128
_MEAN_TOKENS = 28
_BYTES_PER_PAIR = 180
_BASE = 1 << 22
_LANE_TOKENS = 25_000

# Prints seconds and the resident MiB at most, after each of its steps.
_MEASURE = """
import json, pathlib, sys, time
from pipeline import runtime
runtime.start()
from pipeline import config, data_sources, input_pipeline
from pipeline import plan as plan_lib
from trainers.clock import peak_rss_mb as peak
data_dir, lanes, pool, tokens = sys.argv[1], *map(int, sys.argv[2:5])
batch = config.BatchConfig(
    pool_examples=pool, plan_lanes=lanes, tokens_per_batch=tokens, num_buckets=32
)
found, begin = {"tensorflow": (0, peak())}, time.perf_counter()
def done(name):
    global begin
    found[name] = (time.perf_counter() - begin, peak())
    begin = time.perf_counter()
source = data_sources.open_split(pathlib.Path(data_dir), "train", batch, seed=1)
done("open")
source.plan.digest
done("digest")
pools = source.plan.pools(0)
done("pools")
first = source.plan.pool(0, 0)
done("first pool")
read_ahead = input_pipeline.read_ahead_bytes(source)
done("read-ahead bytes")
middle = source.plan.settle(plan_lib.Cursor(1, len(source.plan.pools(1)) // 2, 3))
done("resume in epoch 1")
facts = {
    "pools": len(pools), "batches_of_pool": first.num_batches,
    "rows_of_pool": int(first.first_rows[-1]),
    "examples": source.plan.num_examples, "digest": source.plan.digest,
    "read_ahead": read_ahead,
}
print(json.dumps({"steps": found, "facts": facts}))
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=100_000_000)
    parser.add_argument("--num_shards", type=int, default=655)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--pool_examples", type=int, default=262_144)
    parser.add_argument(
        "--tokens_per_batch", type=int, default=0, help="0: 25,000/lane"
    )
    parser.add_argument("--code", type=pathlib.Path, default=programs.ROOT)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        make(pathlib.Path(name), asked.pairs, asked.num_shards)
        done = subprocess.run(
            [
                *(sys.executable, "-c", _MEASURE, name, str(asked.lanes)),
                str(asked.pool_examples),
                str(asked.tokens_per_batch or _LANE_TOKENS * asked.lanes),
            ],
            cwd=asked.code,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    result = json.loads(done.stdout.splitlines()[-1])
    print("step                     secs   MiB at most")
    for step, (secs, mib) in result["steps"].items():
        print(f"{step:20}{secs:9.2f}{mib:14,.0f}")
    print(json.dumps({"planning": result, "pairs": asked.pairs}))


def make(directory: pathlib.Path, num_pairs: int, num_shards: int) -> None:
    """Makes a data directory of sidecars and a manifest; its shards are empty."""
    draw = np.random.default_rng(1)
    means = draw.gamma(3, _MEAN_TOKENS / 3, _BASE)
    sides = [draw.poisson(means) for _ in range(2)]
    base = np.clip(np.stack(sides, 1), 1, _LONGEST - 1).astype("<u2")
    counts = np.zeros(_LONGEST**2, np.int64)
    shards = []
    for index in range(num_shards):
        size = num_pairs // num_shards + (index < num_pairs % num_shards)
        begin = int(draw.integers(max(1, _BASE - size)))
        lengths = np.resize(base[begin : begin + size], (size, 2))
        counts += np.bincount(
            lengths[:, 0].astype(np.int64) * _LONGEST + lengths[:, 1],
            minlength=_LONGEST**2,
        )
        name = manifest.shard_name("train", index, num_shards, 0)
        path = directory / name
        path.with_suffix(".lengths").write_bytes(lengths.tobytes())
        with path.open("wb") as file:
            file.truncate(size * _BYTES_PER_PAIR)
        src_tokens, tgt_tokens = lengths.sum(axis=0, dtype=np.int64).tolist()
        shards.append(
            manifest.Shard(
                name=name,
                records=size,
                src_tokens=src_tokens,
                tgt_tokens=tgt_tokens,
                bytes=size * _BYTES_PER_PAIR,
                sha256="",
                lengths_sha256="",
            )
        )
    _write(directory, shards, counts)


def _write(
    directory: pathlib.Path, shards: list[manifest.Shard], counts: np.ndarray
) -> None:
    there = np.flatnonzero(counts)
    split = manifest.Split(
        shards=shards,
        pairs_read=int(counts.sum()),
        rejects={},
        histogram={
            "src": (there // _LONGEST).tolist(),
            "tgt": (there % _LONGEST).tolist(),
            "pairs": counts[there].tolist(),
        },
    )
    entry = manifest.Vocabulary(filename="src.model", sha256="", size=32_000)
    facts = manifest.Manifest(
        format_version=manifest.FORMAT_VERSION,
        settings={},
        sources=[],
        special_ids=vocabulary.SPECIAL_IDS,
        src_vocabulary=entry,
        tgt_vocabulary=dataclasses.replace(entry, filename="tgt.model"),
        splits={"train": split},
    )
    manifest.write(facts, directory)
    files.fsync(directory)


if __name__ == "__main__":
    main()
