"""How fast a training step is on a GPU: precisions, XLA on and off, share of its peak.

    python -m tests.benchmarks.gpu                      made-up batches
    python -m tests.benchmarks.gpu --data_dir=D         those of your data

The base Transformer (d_model 512, d_ff 2048, 6 + 6 layers, 8 heads) and 25,000 padded
tokens a side. The peak is that of a matrix product of 8192 x 8192 x 8192 in the same
type; a step's share of it counts its products alone: 6 operations for a weight and
token, and those of attention. Under XLA each shape is compiled once, before it is
timed; how many were, is counted from the dumps that XLA writes, for which the
first pass pays. Last line of stdout: one JSON object.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
import time

from pipeline import runtime

runtime.start()

import numpy as np  # noqa: E402 - TensorFlow's start-up chatter comes first
import tensorflow as tf  # noqa: E402

from pipeline import batching, config, dataset  # noqa: E402
from tests import xla_dumps  # noqa: E402
from tests.benchmarks import training  # noqa: E402
from trainers.models import config as model_config  # noqa: E402

_TOKENS, _SIZE, _PRODUCT = 25_000, 32_000, 8192
_BASE = model_config.ModelConfig(
    d_model=512,
    num_layers=6,
    transformer=model_config.TransformerConfig(d_ff=2048, num_heads=8),
)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir")
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if not tf.config.list_physical_devices("GPU"):
        raise SystemExit("no GPU here: make setup GPU=1 on a host that has one")
    made, size = _batches(asked.data_dir, asked.batches)
    with tempfile.TemporaryDirectory() as folder:
        dumps = pathlib.Path(folder)
        os.environ[xla_dumps.VARIABLE] = xla_dumps.flags(dumps)
        rows = [
            _measured(made, size, dtype, xla=xla, rounds=asked.rounds, dumps=dumps)
            for dtype in ("float32", "bfloat16", "float16")
            for xla in (False, True)
        ]
    print(json.dumps({"gpu": rows}))


def _batches(data_dir: str | None, count: int) -> tuple[list[batching.Batch], int]:
    if data_dir:
        asked = config.BatchConfig(tokens_per_batch=_TOKENS, bucket_multiple=8)
        data = dataset.from_directory(data_dir, batch=asked)
        return list(data.batches(num_epochs=1).take(count)), data.tgt_vocab_size
    draw = np.random.default_rng(1)
    made = []
    for length in draw.integers(2, 8, count) * 8:
        ids = draw.integers(4, _SIZE, (2, _TOKENS // length, length)).astype(np.int32)
        into = np.pad(ids[1][:, :-1], ((0, 0), (1, 0)), constant_values=1)
        made.append(batching.Batch(*map(tf.constant, (ids[0], into, ids[1]))))
    return made, _SIZE


def _measured(
    batches: list[batching.Batch],
    size: int,
    dtype: str,
    *,
    xla: bool,
    rounds: int,
    dumps: pathlib.Path,
) -> dict[str, object]:
    step = training.step(_BASE, size, dtype, xla=xla)
    epoch = training.epoch_of(step)
    compiled_before = xla_dumps.num_compiled(dumps)

    def secs_of_epoch() -> float:
        begin = time.perf_counter()
        epoch(batches)
        return time.perf_counter() - begin

    first = secs_of_epoch()
    secs = statistics.median(secs_of_epoch() for _ in range(rounds))
    work = sum(training.operations(_BASE, size, batch) for batch in batches)
    peak = training.product_gflops(dtype, _PRODUCT) * 1e9
    row = {
        "dtype": dtype,
        "xla": xla,
        "tgt_tokens_per_sec": training.num_tgt_tokens(batches) / secs,
        "share_of_peak": work / secs / peak,
        "peak_gflops": peak / 1e9,
        "first_secs": first,
        "shapes": len({tuple(map(_shape, batch)) for batch in batches}),
        "compiles": xla_dumps.num_compiled(dumps) - compiled_before,
        "traces": step.num_traces,
    }
    print(
        f"{dtype:9} {'XLA' if xla else '   '}  {row['tgt_tokens_per_sec']:11,.0f} "
        f"target tokens/s  {row['share_of_peak']:.1%} of {peak / 1e12:.0f} TFLOP/s  "
        f"first pass {first:.0f} s  {row['compiles']} compiled, {row['shapes']} shapes",
        flush=True,
    )
    return row


def _shape(values: tf.Tensor) -> tuple[int, ...]:
    return tuple(values.shape)


if __name__ == "__main__":
    main()
