"""How fast a step of a recurrent model is, beside `keras.layers.LSTM` under `fit`.

    python -m tests.benchmarks.recurrent                  made-up batches
    python -m tests.benchmarks.recurrent --data_dir=D     those of your data

The model is the same on both sides: LSTM encoder in both directions and decoder, 2 + 2
layers of 256 units, dropout 0.1, a dense bridge, tied embeddings, Adam; without
attention, the encoder's last state is an input of every step of the decoder. Ours
smooths labels, Keras's does not. The last line of stdout is one JSON object.

Made-up batches are measured with 8,000 subwords, where the output layer is the larger
part of a step, and with 500, where the LSTMs are.
"""

import argparse
import json

from pipeline import runtime

runtime.start()

import keras  # noqa: E402 - TensorFlow's start-up chatter comes first
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from pipeline import batching  # noqa: E402
from tests.benchmarks import training  # noqa: E402
from trainers.models import config as model_config  # noqa: E402

_FEW = 500


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    made, size = training.batches(asked.data_dir, asked.batches)
    cases = [(made, size)]
    if not asked.data_dir:
        cases.append(([_with_few(batch) for batch in made], _FEW))
    rows = []
    for attention in ("none", "luong"):
        sizes = model_config.ModelConfig(
            model="rnn",
            d_model=256,
            num_layers=2,
            rnn=model_config.RnnConfig(attention=attention),
        )
        for batches, count in cases:
            runs = {
                f"ours {dtype}": training.epoch_of(training.step(sizes, count, dtype))
                for dtype in training.dtypes()
            }
            runs |= {
                f"keras fit {dtype}": training.fit(_keras_model(sizes, count, dtype))
                for dtype in training.dtypes()
            }
            work = sum(_operations(sizes, count, batch) for batch in batches)
            name = f"LSTM d256 2+2, attention {attention}, {count:,} subwords"
            rows += training.compare(name, runs, batches, asked.rounds, work)
    print(json.dumps({"recurrent": rows}))


def _with_few(batch: batching.Batch) -> batching.Batch:
    """Returns the batch with the ids of few subwords; special ones stay."""

    def fold(ids: tf.Tensor) -> tf.Tensor:
        return tf.where(ids < 4, ids, 4 + ids % (_FEW - 4))

    return batching.Batch(*map(fold, batch))


def _operations(
    sizes: model_config.ModelConfig, size: int, batch: batching.Batch
) -> float:
    """Returns the floating-point operations of a step's products, as `training` does.

    A layer that reads E numbers and has D units has 4 D (E + D) weights.
    """
    rows, src = batch.src_ids.shape
    tgt = batch.tgt_out_ids.shape[1]
    width, depth = sizes.d_model, sizes.num_layers
    is_luong = sizes.rnn.attention == "luong"
    encoder = depth * 2 * 4 * width // 2 * (width + width // 2)
    first = 4 * width * (width + width if is_luong else 2 * width + width)
    decoder = first + (depth - 1) * 4 * width * 2 * width + width**2
    attending = rows * 2 * src * tgt * width if is_luong else 0
    if is_luong:
        encoder += width**2  # keys
        decoder += 2 * width**2  # output and context joined
    logits = int(np.count_nonzero(batch.tgt_out_ids)) * width * size
    return 6.0 * (rows * (src * encoder + tgt * decoder) + attending + logits)


def _keras_model(sizes: model_config.ModelConfig, size: int, dtype: str) -> keras.Model:
    """Returns the same model of Keras layers, as its guides write it."""
    training.set_keras_dtype(dtype)
    width, rate = sizes.d_model, sizes.dropout_rate
    src, tgt = (keras.Input([None], dtype="int32") for _ in range(2))
    shared = keras.layers.Embedding(size, width, mask_zero=True)
    drop = keras.layers.Dropout
    memory, initial = drop(rate)(shared(src)), []
    for _ in range(sizes.num_layers):
        half = keras.layers.LSTM(width // 2, return_sequences=True, return_state=True)
        memory, *states = keras.layers.Bidirectional(half)(memory)
        memory = drop(rate)(memory)
        output, content = (
            keras.layers.Concatenate()(pair)
            for pair in (states[::2], states[1::2])  # h, c of each direction
        )
        last = output
        dense = keras.layers.Dense(width, activation="tanh")
        initial.append([dense(output), keras.layers.Dense(width)(content)])
    stream = drop(rate)(shared(tgt))
    luong = sizes.rnn.attention == "luong"
    if not luong:
        stream = keras.layers.Concatenate()([stream, _Repeated()([last, stream])])
    for states in initial:
        layer = keras.layers.LSTM(width, return_sequences=True)
        stream = drop(rate)(layer(stream, initial_state=states))
    if luong:
        keys = keras.layers.Dense(width, use_bias=False)(memory)
        context = keras.layers.Attention()([stream, memory, keys])
        joined = keras.layers.Concatenate()([stream, context])
        stream = keras.layers.Dense(width, activation="tanh")(joined)
    stream = keras.layers.Dense(width)(stream)
    logits = keras.ops.matmul(stream, keras.ops.transpose(shared.embeddings))
    return keras.Model([src, tgt], logits)


class _Repeated(keras.layers.Layer):
    """One vector a row, at each position of another input, whose mask it has."""

    supports_masking = True

    def compute_mask(self, inputs, mask=None):
        return mask[1]

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        vector, like = inputs
        return tf.repeat(vector[:, None], tf.shape(like)[1], axis=1)


if __name__ == "__main__":
    main()
