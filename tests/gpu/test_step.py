"""The training step on a GPU: the numbers of the CPU, in every precision, one trace."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching
from tests import small_models
from trainers import naming, optimizer_config, train_step
from trainers.models import build

SIZE = 64
MODELS = ["transformer", "rnn"]


def _batches(count=4):
    draw = np.random.default_rng(1)
    made = []
    for index in range(count):
        rows, src, tgt = 8, 5 + index, 6 + index
        ids = [draw.integers(4, SIZE, (rows, n)).astype(np.int32) for n in (src, tgt)]
        into = np.pad(ids[1][:, :-1], ((0, 0), (1, 0)), constant_values=1)
        made.append(batching.Batch(*map(tf.constant, (ids[0], into, ids[1]))))
    return made


def _step(kind, dtype="float32", *, xla=False):
    model = build.sized(
        small_models.config(kind, d_model=32, dropout_rate=0.0),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
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


def _weights(step):
    return np.concatenate(
        [np.ravel(value.numpy()) for value in naming.variables(step.model).values()]
    )


def _trained(device, kind, **given):
    with tf.device(device):
        step = _step(kind, **given)
        for batch in _batches():
            step([batch], 1e-3)
    return step


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("xla", [False, True])
def test_a_gpu_learns_what_a_cpu_learns(kind, xla):
    here, there = _trained("CPU:0", kind), _trained("GPU:0", kind, xla=xla)
    one, other = _weights(here), _weights(there)
    # TensorFloat-32 has 10 bits of mantissa.
    assert np.linalg.norm(one - other) <= 1e-3 * np.linalg.norm(one)
    assert there.num_traces == 1


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("xla", [False, True])
def test_sixteen_bits_learn(kind, dtype, xla):
    with tf.device("GPU:0"):
        step = _step(kind, dtype, xla=xla)
        losses = []
        for _ in range(60):
            for batch in _batches():
                step([batch], 3e-3)
            totals = step.totals.take()
            losses.append(totals["loss_sum"] / totals["num_tokens"])
    assert losses[-1] < 0.8 * losses[0]
    assert step.num_traces == 1
