"""What W readers of one data directory read, each as a process: bytes, and memory.

    python -m tests.benchmarks.scaling                 made-up pairs, 64 shards
    python -m tests.benchmarks.scaling --data_dir=D    a data directory of yours

The bytes are those the system says each process has read in an epoch (`rchar` of
/proc/self/io). Last line of stdout: one JSON object.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from tests import programs, small_data

_PAIRS = 150_000
_NUM_SHARDS = 64

# Prints the bytes read in an epoch, and resident MiB at most.
_READ = """
import pathlib, sys
from pipeline import runtime
runtime.start()
from pipeline import config, data_sources, input_pipeline
from trainers.clock import peak_rss_mb
def read_bytes():
    return int(pathlib.Path("/proc/self/io").read_text().split()[1])
batch = config.BatchConfig(plan_lanes=8, pool_examples=32_768, tokens_per_batch=32_768)
source = data_sources.open_split(pathlib.Path(sys.argv[1]), "train", batch, seed=1)
reader = input_pipeline.Reader(int(sys.argv[2]), int(sys.argv[3]))
begin = read_bytes()
for _ in input_pipeline.batches(source, num_epochs=1, reader=reader):
    pass
print(read_bytes() - begin, round(peak_rss_mb()))
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir", type=pathlib.Path)
    data_dir: pathlib.Path | None = parser.parse_args().data_dir
    with tempfile.TemporaryDirectory() as name:
        if data_dir is None:
            data_dir = small_data.make(
                pathlib.Path(name), count=_PAIRS, num_shards=_NUM_SHARDS
            )
        shards = [path.stat().st_size for path in data_dir.glob("train-*.tfrecord")]
        print(f"{sum(shards):,} bytes in {len(shards)} shards, {max(shards):,} at most")
        print("readers   least MB   most MB   most, of 1/W   MiB at most")
        rows = [_row(data_dir, count, sum(shards)) for count in (1, 2, 4, 8)]
    print(json.dumps({"scaling": rows, "bytes": sum(shards)}))


def _row(data_dir: pathlib.Path, count: int, total: int) -> dict[str, float]:
    found = [_read(data_dir, number, count) for number in range(count)]
    sizes, memory = zip(*found, strict=True)
    over = max(sizes) / (total / count)
    print(
        f"{count:7}{min(sizes) / 1e6:11.2f}{max(sizes) / 1e6:10.2f}{over:15.3f}"
        f"{max(memory):14}",
        flush=True,
    )
    return {
        "readers": count,
        "least": min(sizes),
        "most": max(sizes),
        "share": over,
        "peak_rss_mb": max(memory),
    }


def _read(data_dir: pathlib.Path, number: int, count: int) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(data_dir), str(number), str(count)],
        cwd=programs.ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    size, memory = map(int, done.stdout.split())
    return size, memory


if __name__ == "__main__":
    main()
