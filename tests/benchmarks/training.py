"""How fast a training step is, beside Keras layers under `fit`, on the same batches.

    python -m tests.benchmarks.training                       made-up batches
    python -m tests.benchmarks.training --data_dir=D          those of your data
    python -m tests.benchmarks.training --dump_batches=b.npz  for any other framework

The model is the same on both sides: pre-norm Transformer, d_model 256, d_ff 1024, 3 + 3
layers, 4 heads, dropout 0.1, tied embeddings, Adam. Ours smooths labels, Keras's does
not. Both run over the same batches once before they are timed. The ceiling is a matrix
product of 2048 x 2048 x 2048 in the same type, and a step's share of it counts its
products alone, those of padding too, but logits of real tokens only, whoever computes
more. Last line of stdout: one JSON object.

The file of --dump_batches has, for batch 12, the arrays `12_src_ids`, `12_tgt_in_ids`
and `12_tgt_out_ids`, int32 [B, S] and [B, T]; padding is 0.
"""

import argparse
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from pipeline import runtime

runtime.start()

import keras  # noqa: E402 - TensorFlow's start-up chatter comes first
import tensorflow as tf  # noqa: E402

from pipeline import batching, config, dataset, vocabulary  # noqa: E402
from trainers import optimizer_config, train_step  # noqa: E402
from trainers.models import build  # noqa: E402
from trainers.models import config as model_config  # noqa: E402

_TOKENS = 4096
_SIZE = 8000
_SIZES = model_config.ModelConfig(d_model=256, num_layers=3)
_TINY = model_config.ModelConfig(
    d_model=128,
    num_layers=4,
    transformer=model_config.TransformerConfig(d_ff=256),
)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir")
    parser.add_argument("--dump_batches", type=pathlib.Path)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    made, size = batches(asked.data_dir, asked.batches)
    if asked.dump_batches:
        _dump(made, asked.dump_batches)
    rows = []
    for name, sizes in (("d256 ff1024 3+3", _SIZES), ("tiny d128 ff256 4+4", _TINY)):
        runs = {
            f"ours {dtype}": epoch_of(step(sizes, size, dtype)) for dtype in dtypes()
        } | {
            f"keras fit {dtype}": fit(_keras_model(sizes, size, dtype))
            for dtype in dtypes()
        }
        work = sum(operations(sizes, size, batch) for batch in made)
        rows += compare(name, runs, made, asked.rounds, work)
    print(json.dumps({"training": rows}))


def dtypes() -> tuple[str, ...]:
    """Returns what ours is measured in."""
    return ("float32", "bfloat16")


def batches(data_dir: str | None, count: int) -> tuple[list[batching.Batch], int]:
    """Returns batches, and the number of subwords."""
    if data_dir:
        asked = config.BatchConfig(tokens_per_batch=_TOKENS)
        data = dataset.from_directory(data_dir, batch=asked)
        return list(data.batches(num_epochs=1).take(count)), data.tgt_vocab_size
    draw = np.random.default_rng(1)
    made = []
    for length in draw.integers(10, 40, count):
        src, tgt = int(length), max(4, int(length * draw.normal(1.05, 0.1)))
        rows = _TOKENS // max(src, tgt)
        ids = [draw.integers(4, _SIZE, (rows, n)).astype("int32") for n in (src, tgt)]
        into = np.pad(ids[1][:, :-1], ((0, 0), (1, 0)), constant_values=1)
        made.append(batching.Batch(*map(tf.constant, (ids[0], into, ids[1]))))
    return made, _SIZE


def _dump(batches: Sequence[batching.Batch], path: pathlib.Path) -> None:
    arrays = {
        f"{number}_{name}": ids.numpy()
        for number, batch in enumerate(batches)
        for name, ids in batch._asdict().items()
    }
    np.savez(path, **arrays)
    print(f"{len(batches)} batches written: {path}")


Epoch = Callable[[Sequence[batching.Batch]], None]


def step(
    sizes: model_config.ModelConfig, size: int, dtype: str, *, xla: bool = False
) -> train_step.TrainStep:
    """Returns our step with a model for `size` subwords."""
    model = build.sized(
        sizes,
        src_vocab_size=size,
        tgt_vocab_size=size,
        shared=True,
        rng=np.random.default_rng(1),
        dtype=dtype,
    )
    return train_step.TrainStep(
        model,
        optimizer_config.OptimizerConfig(),
        label_smoothing=0.1,
        seed=1,
        dtype=dtype,
        xla=xla,
    )


def epoch_of(step: train_step.TrainStep) -> Epoch:
    """Returns an epoch of steps, which ends when the device has taken them."""

    def epoch(batches: Sequence[batching.Batch]) -> None:
        for batch in batches:
            step([batch], 1e-4)
        step.totals.take()

    return epoch


def num_tgt_tokens(batches: Sequence[batching.Batch]) -> int:
    """Returns the number of real target tokens."""
    return sum(int(np.count_nonzero(batch.tgt_out_ids)) for batch in batches)


def fit(model: keras.Model) -> Epoch:
    """Returns an epoch of `fit` with a model of (src_ids, tgt_in_ids) to logits."""
    model.compile(
        keras.optimizers.Adam(1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # XLA would compile every shape anew
    )

    def epoch(batches: Sequence[batching.Batch]) -> None:
        def elements():
            for batch in batches:
                weights = tf.cast(batch.tgt_out_ids != vocabulary.PAD_ID, tf.float32)
                yield (batch.src_ids, batch.tgt_in_ids), batch.tgt_out_ids, weights

        ids = tf.TensorSpec([None, None], tf.int32)
        spec = ((ids, ids), ids, tf.TensorSpec([None, None], tf.float32))
        data = tf.data.Dataset.from_generator(elements, output_signature=spec)
        counted = data.apply(tf.data.experimental.assert_cardinality(len(batches)))
        model.fit(counted.prefetch(2), epochs=1, verbose=0, shuffle=False)

    return epoch


def set_keras_dtype(dtype: str) -> None:
    """Has Keras's layers that are made from now on compute in a type."""
    policy = "mixed_bfloat16" if dtype == "bfloat16" else dtype
    keras.config.set_dtype_policy(policy)


class _Positions(keras.layers.Layer):
    """Adds sinusoids, scaled embeddings in."""

    def call(self, values: tf.Tensor) -> tf.Tensor:
        width = values.shape[-1]
        rates = tf.exp(-9.21 / (width // 2) * tf.range(width // 2, dtype=tf.float32))
        angles = tf.range(tf.shape(values)[1], dtype=tf.float32)[:, None] * rates
        positions = tf.concat([tf.sin(angles), tf.cos(angles)], 1)
        return values * width**0.5 + tf.cast(positions, values.dtype)


def _keras_model(sizes: model_config.ModelConfig, size: int, dtype: str) -> keras.Model:
    """Returns the same Transformer of Keras layers, as its guides write it."""
    set_keras_dtype(dtype)
    width, rate = sizes.d_model, sizes.dropout_rate
    src, tgt = (keras.Input([None], dtype="int32") for _ in range(2))
    shared = keras.layers.Embedding(size, width)

    def attend(query, memory, mask=None, causal=False):
        layer = keras.layers.MultiHeadAttention(
            sizes.transformer.num_heads, width // sizes.transformer.num_heads
        )
        return layer(query, memory, attention_mask=mask, use_causal_mask=causal)

    def sublayer(stream, inner):
        out = inner(keras.layers.LayerNormalization(epsilon=1e-6)(stream))
        return stream + keras.layers.Dropout(rate)(out)

    def feed_forward(values):
        inner = keras.layers.Dense(sizes.transformer.d_ff, activation="relu")(values)
        return keras.layers.Dense(width)(inner)

    mask = keras.ops.not_equal(src, 0)[:, None, :]
    memory = keras.layers.Dropout(rate)(_Positions()(shared(src)))
    for _ in range(sizes.num_layers):
        memory = sublayer(memory, lambda x: attend(x, x, mask))
        memory = sublayer(memory, feed_forward)
    memory = keras.layers.LayerNormalization(epsilon=1e-6)(memory)
    stream = keras.layers.Dropout(rate)(_Positions()(shared(tgt)))
    for _ in range(sizes.num_layers):
        stream = sublayer(stream, lambda x: attend(x, x, causal=True))
        stream = sublayer(stream, lambda x: attend(x, memory, mask))
        stream = sublayer(stream, feed_forward)
    stream = keras.layers.LayerNormalization(epsilon=1e-6)(stream)
    vectors = keras.ops.cast(keras.ops.transpose(shared.embeddings), stream.dtype)
    logits = keras.ops.matmul(stream, vectors)
    return keras.Model([src, tgt], logits)


def operations(
    sizes: model_config.ModelConfig, size: int, batch: batching.Batch
) -> float:
    """Returns the floating-point operations of the products in a step over a batch.

    A product of [N, A] and [A, C] has 2 N A C, and two more of as many in its gradient.
    """
    rows, src = batch.src_ids.shape
    tgt = batch.tgt_out_ids.shape[1]
    width, inner, depth = sizes.d_model, sizes.transformer.d_ff, sizes.num_layers
    attention, feed_forward = 4 * width**2, 2 * width * inner
    encoder = rows * src * depth * (attention + feed_forward)
    decoder = rows * tgt * depth * (2 * attention + feed_forward)
    weighed = rows * depth * 2 * width * (src**2 + tgt**2 + src * tgt)
    logits = int(np.count_nonzero(batch.tgt_out_ids)) * width * size
    return 6.0 * (encoder + decoder + weighed + logits)


def compare(
    name: str,
    runs: dict[str, Epoch],
    batches: list[batching.Batch],
    rounds: int,
    work: float | None = None,
) -> list[dict[str, object]]:
    """Times the runs in turn, so that a busy minute meets all, and prints a table.

    Args:
        name: Of the model.
        runs: By name, which ends with the type it computes in.
        batches: What each runs over.
        rounds: How often.
        work: Floating-point operations over all batches, if they are known.
    """
    for epoch in runs.values():
        epoch(batches)
    secs: dict[str, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, epoch in runs.items():
            begin = time.perf_counter()
            epoch(batches)
            secs[key].append(time.perf_counter() - begin)
    num_tokens = num_tgt_tokens(batches)
    print(f"{name}, {len(batches)} batches, {num_tokens:,} target tokens, median of")
    print(
        f"{rounds} rounds in turn        target tokens/s   x keras   GFLOP/s product  "
        "share of it"
    )
    slowest = statistics.median(secs["keras fit float32"])
    rows = []
    for key, times in secs.items():
        median = statistics.median(times)
        ceiling = product_gflops(key.rpartition(" ")[2])
        share = work / median / ceiling / 1e9 if work else None
        rows.append(
            {
                "model": name,
                "run": key,
                "tgt_tokens_per_sec": num_tokens / median,
                "ratio": slowest / median,
                "product_gflops": ceiling,
                "share_of_product": share,
            }
        )
        print(
            f"  {key:22}{num_tokens / median:15,.0f}{slowest / median:10.2f}"
            f"{ceiling:18,.0f}" + (f"{share:13.2f}" if share else "")
        )
    return rows


def product_gflops(dtype: str, size: int = 2048, times: int = 5) -> float:
    """Returns billions of operations a second of a matrix product, the best of some."""
    one = tf.cast(tf.random.normal([size, size], seed=1), dtype)
    best = np.inf
    for _ in range(times):
        begin = time.perf_counter()
        float(tf.cast(tf.matmul(one, one)[0, 0], tf.float32))
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best / 1e9


if __name__ == "__main__":
    main()
