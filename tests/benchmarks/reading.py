"""How much memory an epoch of batches takes, for growing corpora and pools.

    python -m tests.benchmarks.reading                made-up pairs, 150,000 and 10 x
    python -m tests.benchmarks.reading --data_dir=D   a data directory of yours

Every line is a process of its own, which reads one epoch with nothing else in it.
Last line of stdout: one JSON object.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from tests import programs, small_data

_PAIRS = 150_000
_GROWTH = 10
_POOLS = (32_768, 131_072)

# Prints examples, seconds, resident MiB before the first batch and at most.
_READ = """
import sys, time
from pipeline import runtime
runtime.start()
from pipeline import dataset, config
from trainers.clock import peak_rss_mb as peak
batch = config.BatchConfig(pool_examples=int(sys.argv[2]))
before = peak()
begin = time.perf_counter()
data = dataset.from_directory(sys.argv[1], batch=batch)
for _ in data.batches(num_epochs=1):
    pass
secs = time.perf_counter() - begin
print(data.source.plan.num_examples, secs, before, peak())
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir", type=pathlib.Path)
    data_dir: pathlib.Path | None = parser.parse_args().data_dir
    print("   examples   --pool_examples   examples/s   MiB before   MiB at most")
    with tempfile.TemporaryDirectory() as name:
        directories = [data_dir] if data_dir else _made_up(pathlib.Path(name))
        rows = [_row(path, pool) for path in directories for pool in _POOLS]
    print(json.dumps({"reading": rows}))


def _made_up(folder: pathlib.Path) -> list[pathlib.Path]:
    first = small_data.make(folder / "1", count=_PAIRS, num_shards=64)
    model = first / "shared.model"
    many = _PAIRS * _GROWTH
    return [
        first,
        small_data.make(folder / "2", count=many, num_shards=64, spm_model=model),
    ]


def _row(data_dir: pathlib.Path, pool: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(data_dir), str(pool)],
        cwd=programs.ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    examples, secs, before, most = map(float, done.stdout.split())
    print(
        f"{examples:11,.0f}{pool:18,}{examples / secs:13,.0f}{before:13,.0f}"
        f"{most:14,.0f}",
        flush=True,
    )
    return {"examples": examples, "pool": pool, "mib_before": before, "mib": most}


if __name__ == "__main__":
    main()
