import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import programs
from trainers.models import additive_attention, attention, cells, recurrent

T, B, D, S, A = 4, 3, 5, 6, 5


def _draw(*shape, seed=0, dtype=tf.float64):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), dtype)


def _initial(cell):
    return tuple(_draw(B, D, seed=7 + part) for part in range(cell.num_parts))


def _assert_gradient(function, tensors, delta=1e-5):
    """Compares slopes with finite differences, along three directions a tensor."""
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        gradients = tape.gradient(function(*tensors), tensors)
    for place, (tensor, gradient) in enumerate(zip(tensors, gradients, strict=True)):
        for seed in range(3):
            direction = _draw(*tensor.shape, seed=100 + seed)
            ends = []
            for side in (delta, -delta):
                moved = [*tensors]
                moved[place] = tensor + side * direction
                ends.append(float(function(*moved)))
            slope = float(tf.reduce_sum(gradient * direction))
            assert slope == pytest.approx(
                (ends[0] - ends[1]) / (2 * delta), rel=1e-6, abs=1e-7
            )


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_gradient_of_the_loop_is_that_of_finite_differences(kind):
    cell = cells.BY_NAME[kind]
    weights = [_draw(T, B, D, seed=k) for k in range(cell.num_parts)]

    def function(projected, kernel, *initial):
        states = recurrent.over_time(cell, projected, initial, kernel)
        return sum(tf.reduce_sum(s * w) for s, w in zip(states, weights, strict=True))

    width = cell.num_gates * D
    tensors = [_draw(T, B, width, seed=3), _draw(D, width, seed=4), *_initial(cell)]
    _assert_gradient(function, tensors)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_gradient_of_attention_is_that_of_finite_differences(kind):
    cell = cells.BY_NAME[kind]
    width = cell.num_gates * D
    is_token = tf.sequence_mask([6, 2, 4], S)
    mask = tf.where(is_token, tf.constant(0.0, tf.float64), attention.MASKED)
    by_outputs, by_contexts = _draw(T, B, D, seed=1), _draw(T, B, D, seed=2)

    def function(projected, keys, values, of_state, of_context, score, *initial):
        outputs, contexts = additive_attention._over_time(
            cell,
            projected,
            initial,
            additive_attention.Memory(keys, values, mask),
            additive_attention.Weights(of_state, of_context, score),
        )
        return tf.reduce_sum(outputs * by_outputs + contexts * by_contexts)

    shapes = [(T, B, width), (B, S, A), (B, S, D), (D, width + A), (D, width), (A,)]
    tensors = [_draw(*shape, seed=3 + k) for k, shape in enumerate(shapes)]
    _assert_gradient(function, [*tensors, *_initial(cell)])


def test_attention_is_that_of_the_paper():
    layer = additive_attention.AttentiveRecurrent(
        "gru", 3, D, 4, rng=np.random.default_rng(1)
    )
    encoded = _draw(B, S, 4, dtype=tf.float32)
    memory = layer.memory(encoded, tf.sequence_mask([6, 2, 4], S))
    state = (_draw(B, D, seed=2, dtype=tf.float32),)
    _, context = layer.step(tf.zeros([B, 3]), state, memory)
    for row, length in enumerate([6, 2, 4]):
        annotations = encoded[row, :length].numpy()
        inner = np.tanh(
            state[0][row].numpy() @ layer.query.numpy()
            + annotations @ layer.key.kernel.numpy()
            + layer.key.bias.numpy()
        )
        energy = np.exp(inner @ layer.score.numpy())
        wanted = (energy / energy.sum()) @ annotations
        np.testing.assert_allclose(context[row], wanted, rtol=1e-4, atol=1e-6)


def test_an_lstm_is_that_of_keras():
    ours = recurrent.Recurrent("lstm", 3, D, rng=np.random.default_rng(1))
    theirs = keras.layers.LSTM(D, return_sequences=True)
    theirs.build([None, None, 3])

    def sorted_gates(weights):  # i, f, o, g here; i, f, g, o there
        parts = np.split(weights, 4, axis=-1)
        return np.concatenate([parts[k] for k in (0, 1, 3, 2)], axis=-1)

    weights = (ours.input.kernel, ours.recurrent, ours.input.bias)
    theirs.set_weights([sorted_gates(weight.numpy()) for weight in weights])
    values = _draw(T, B, 3, dtype=tf.float32)
    zeros = ours.zero_state(B, tf.float32)
    outputs, _ = ours(tf.reshape(values, [-1, 3]), zeros)
    wanted = theirs(tf.transpose(values, [1, 0, 2]))
    np.testing.assert_allclose(
        tf.reshape(outputs, [T, B, D]),
        tf.transpose(wanted, [1, 0, 2]),
        rtol=1e-4,
        atol=1e-6,
    )


def test_a_gru_is_that_of_keras():
    ours = recurrent.Recurrent("gru", 3, D, rng=np.random.default_rng(1))
    theirs = keras.layers.GRU(D, return_sequences=True, reset_after=True)
    theirs.build([None, None, 3])
    bias = np.stack([ours.input.bias.numpy(), np.zeros(3 * D)])
    theirs.set_weights([ours.input.kernel, ours.recurrent, bias])
    values = _draw(T, B, 3, dtype=tf.float32)
    outputs, _ = ours(tf.reshape(values, [-1, 3]), ours.zero_state(B, tf.float32))
    wanted = theirs(tf.transpose(values, [1, 0, 2]))
    np.testing.assert_allclose(
        tf.reshape(outputs, [T, B, D]),
        tf.transpose(wanted, [1, 0, 2]),
        rtol=1e-4,
        atol=1e-6,
    )


def test_the_second_direction_reads_each_row_from_its_end():
    layer = recurrent.Bidirectional("lstm", 3, 2 * D, rng=np.random.default_rng(1))
    values = _draw(T, B, 3, dtype=tf.float32)
    lengths = tf.constant([4, 1, 3])
    outputs, lasts = layer(tf.reshape(values, [-1, 3]), lengths)
    outputs = tf.reshape(outputs, [T, B, 2 * D])
    zeros = layer.backward.zero_state(1, tf.float32)
    for row, length in enumerate(lengths.numpy()):
        there, _ = layer.forward(values[:length, row], zeros)
        back, _ = layer.backward(values[:length, row][::-1], zeros)
        wanted = tf.concat([there, back[::-1]], axis=1)
        np.testing.assert_allclose(outputs[:length, row], wanted, rtol=1e-4, atol=1e-6)
        last = tf.concat([there[-1], back[-1]], axis=0)
        np.testing.assert_allclose(lasts[0][row], last, rtol=1e-4, atol=1e-6)


def test_what_the_loop_keeps_in_16_bits_is_32_wide_where_it_adds_up():
    layer = recurrent.Recurrent("gru", 3, D, rng=np.random.default_rng(1))
    values = tf.cast(_draw(T * B, 3), tf.bfloat16)
    outputs, states = layer(values, layer.zero_state(B, tf.bfloat16))
    assert outputs.dtype == tf.bfloat16
    assert states[0].dtype == tf.float32


MIRRORED = """
import numpy as np
from pipeline import runtime
runtime.start(cpu_devices=2)
import tensorflow as tf
from trainers.models import recurrent
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    layer = recurrent.Recurrent("lstm", 8, 4, rng=np.random.default_rng(1))
for copy in layer.input.bias.values:
    assert copy.numpy().tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8
"""


def test_forget_gates_begin_open_in_every_copy():
    done = programs.run_code(MIRRORED)
    assert done.returncode == 0, done.stderr
