"""What every model must do, whatever it is made of."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching
from tests import decoding_requests, small_models
from trainers import checkpoints, naming, noise, optimizer_config, train_step
from trainers.decoding import beam, decoder, greedy
from trainers.models import build

SRC_SIZE, TGT_SIZE = 21, 19

MODELS = {
    "transformer": ("transformer", {}),
    "transformer post-norm": ("transformer", {"norm": "post"}),
    "transformer r-drop": ("transformer", {"dropout_rate": 0.1, "r_drop": 1.0}),
    "rnn": ("rnn", {}),
    "rnn gru": ("rnn", {"cell": "gru", "residual": True, "bridge": "copy"}),
    "rnn luong": (
        "rnn",
        {"attention": "luong", "embedding_dim": 8, "bidirectional": False},
    ),
    "rnn luong scaled": (
        "rnn",
        {"attention": "luong", "luong_score": "scaled", "bridge": "zero"},
    ),
    "rnn none": ("rnn", {"attention": "none", "cell": "gru"}),
    "repeat_vector": ("repeat_vector", {}),
}
# Variants of these share their code with them, and are checked by make check.
IN_MAKE_TEST = {"transformer", "rnn", "repeat_vector"}
every_model = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in IN_MAKE_TEST else pytest.mark.long)
        for name in MODELS
    ],
)
with_beam = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in IN_MAKE_TEST else pytest.mark.long)
        for name in MODELS
        if not name.startswith("repeat_vector")
    ],
)

ROWS = [([5, 6, 7], [8, 9]), ([10], [11, 12, 13]), ([14, 15], [16]), ([4, 4], [5])]


def _model(name, seed=1, dtype="float32", **changes):
    kind, given = MODELS[name]
    return build.sized(
        small_models.config(kind, **given | changes),
        src_vocab_size=SRC_SIZE,
        tgt_vocab_size=TGT_SIZE,
        shared=False,
        rng=np.random.default_rng(seed),
        dtype=dtype,
    )


def _batch(rows, src_length=4, tgt_length=4, fillers=0):
    """Returns a batch of (src, tgt) id lists, padded, filler rows last."""
    count = len(rows) + fillers
    src = np.zeros((count, src_length), np.int32)
    into, out = np.zeros((2, count, tgt_length), np.int32)
    src[len(rows) :, 0], into[len(rows) :, 0] = 2, 1
    for index, (one, other) in enumerate(rows):
        src[index, : len(one) + 1] = [*one, 2]
        into[index, : len(other) + 1] = [1, *other]
        out[index, : len(other) + 1] = [*other, 2]
    return batching.Batch(*map(tf.constant, (src, into, out)))


def _gradients(model, batch):
    """Returns the losses of a batch and the gradient by name.

    Not traced, which would take most of the time; a step is, in a test of its own.
    """
    weights = {n: v for n, v in naming.variables(model).items() if v.trainable}
    with tf.GradientTape() as tape:
        found = model.losses(batch, smoothing=tf.constant(0.1), draw=noise.NONE)
    gradients = tape.gradient(found.loss_sum, list(weights.values()))
    return found, {
        name: None if gradient is None else tf.convert_to_tensor(gradient).numpy()
        for name, gradient in zip(weights, gradients, strict=True)
    }


def _best(decode, src_ids):
    """Returns what a decoder finds best: ids [B, t], scores and flags [B]."""
    asked = decoding_requests.plain(src_ids, 2.0, 50)
    return decoder.Found(*(part[:, 0] for part in decode(asked)))


@functools.cache
def _greedy(name):
    return greedy.GreedyDecoder(_model(name))


def _assert_same(one, other, within=1e-5):
    """Compares losses and gradients; these relative to the norm of the whole."""
    (losses, gradients), (other_losses, other_gradients) = one, other
    np.testing.assert_allclose(losses.loss_sum, other_losses.loss_sum, rtol=1e-5)
    assert float(losses.num_tokens) == float(other_losses.num_tokens)
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients.values()))
    for name, gradient in gradients.items():
        difference = np.linalg.norm(gradient - other_gradients[name])
        assert difference <= within * norm, name


@every_model
def test_loss_and_gradients_do_not_depend_on_the_padding(name):
    model = _model(name)
    tight = _gradients(model, _batch(ROWS))
    assert float(tight[0].num_tokens) == 11
    _assert_same(tight, _gradients(model, _batch(ROWS, 9, 4)))
    _assert_same(tight, _gradients(model, _batch(ROWS, 4, 7)))


@every_model
def test_filler_rows_change_nothing(name):
    model = _model(name)
    without = _gradients(model, _batch(ROWS))
    _assert_same(without, _gradients(model, _batch(ROWS, fillers=3)))


@every_model
def test_two_halves_add_up_to_the_whole(name):
    """Promise P4."""
    model = _model(name)
    whole = _gradients(model, _batch(ROWS))
    (losses, first), (other, second) = (
        _gradients(model, _batch(rows)) for rows in (ROWS[:1], ROWS[1:])
    )
    sums = type(losses)(*(a + b for a, b in zip(losses, other, strict=True)))
    _assert_same(whole, (sums, {n: first[n] + second[n] for n in first}))


@every_model
def test_every_weight_has_a_gradient(name):
    _, gradients = _gradients(_model(name), _batch(ROWS))
    # Constant over the source positions, so the softmax does not see them.
    blind = [n for n in gradients if n.endswith("attention/key/bias")]
    for weight, gradient in gradients.items():
        assert gradient is not None, weight
        assert np.any(gradient) or weight in blind, weight


@every_model
def test_a_step_is_traced_once_whatever_the_shapes(name):
    step = train_step.TrainStep(
        _model(name, dropout_rate=0.1),
        optimizer_config.OptimizerConfig(),
        label_smoothing=0.1,
        seed=1,
    )
    losses = []
    for number in range(20):
        step([_batch(ROWS, 4 + number % 3, 4 + number % 2, number % 4)], 0.01)
        totals = step.totals.take()
        losses.append(totals["loss_sum"] / totals["num_tokens"])
    assert step.num_traces == 1
    assert losses[-1] < 0.8 * losses[0]


@every_model
def test_r_drop_compares_two_dropouts_of_a_batch(name):
    model = _model(name, dropout_rate=0.3, r_drop=2.0)
    plain = _model(name, dropout_rate=0.3, r_drop=0.0)
    batch, smoothing = _batch(ROWS, fillers=2), tf.constant(0.1)
    draw = noise.Noise(1, tf.constant(7, tf.int64))
    found = model.losses(batch, smoothing=smoothing, draw=draw)
    one = plain.losses(batch, smoothing=smoothing, draw=draw)
    other = plain.losses(batch, smoothing=smoothing, draw=draw.apart("r_drop"))
    assert float(one.nll_sum) != float(other.nll_sum)
    assert float(found.num_tokens) == float(one.num_tokens) == 11
    np.testing.assert_allclose(found.nll_sum, (one.nll_sum + other.nll_sum) / 2, 1e-5)
    # What is added to the mean of both losses is a divergence, which is above 0.
    assert found.loss_sum > (one.loss_sum + other.loss_sum) / 2 + 1e-4
    judged = [
        each.losses(batch, smoothing=smoothing, draw=noise.NONE).loss_sum
        for each in (model, plain)
    ]
    assert float(judged[0]) == float(judged[1])


@every_model
def test_two_lanes_of_r_drop_add_up_to_the_whole(name):
    """Promise P4: each lane has its noise, in both passes."""
    model = _model(name, dropout_rate=0.3, r_drop=2.0)
    smoothing, step = tf.constant(0.1), tf.constant(7, tf.int64)
    whole, *lanes = (
        model.losses(
            _batch(rows),
            smoothing=smoothing,
            draw=noise.Noise(1, step, lanes=noise.Lanes(first, num)),
        )
        for rows, first, num in ((ROWS, 0, 2), (ROWS[:2], 0, 1), (ROWS[2:], 1, 1))
    )
    sums = [sum(pair) for pair in zip(*lanes, strict=True)]
    np.testing.assert_allclose(whole, sums, rtol=1e-5)


@every_model
def test_decoding_step_by_step_gives_the_loss_of_the_whole(name):
    model = _model(name)
    batch = _batch(ROWS)
    found = model.losses(batch, smoothing=tf.constant(0.0), draw=noise.NONE)
    state, total = model.start(batch.src_ids), 0.0
    for position in range(batch.tgt_in_ids.shape[1]):
        logits, state = model.next_logits(batch.tgt_in_ids[:, position], state)
        assert logits.shape == (len(ROWS), TGT_SIZE)
        out = batch.tgt_out_ids[:, position]
        log_probs = tf.gather(tf.nn.log_softmax(logits), out, batch_dims=1)
        total -= tf.reduce_sum(tf.where(out != 0, log_probs, 0.0))
    np.testing.assert_allclose(total, found.nll_sum, rtol=1e-5)


@with_beam
def test_a_beam_of_1_is_greedy(name):
    src_ids = _batch(ROWS).src_ids
    one = _best(_greedy(name), src_ids)
    search = beam.BeamDecoder(_model(name), beam_size=1, length_penalty=0.0)
    other = _best(search, src_ids)
    length = min(one.ids.shape[1], other.ids.shape[1])
    np.testing.assert_array_equal(one.ids[:, :length], other.ids[:, :length])
    np.testing.assert_allclose(one.log_probs, other.log_probs, rtol=1e-4)


@with_beam
def test_a_beam_scores_its_hypotheses_as_steps_along_them_do(name):
    """A state that is not exchanged with its prefix would score otherwise."""
    model, src_ids = _model(name), _batch(ROWS[:1]).src_ids
    # Long hypotheses, so that prefixes are exchanged.
    found = _best(beam.BeamDecoder(model, beam_size=3, length_penalty=5.0), src_ids)
    ids = found.ids[0].tolist()
    ids = ids[: ids.index(2) + 1] if found.finished[0] else ids
    state, last, total = model.start(src_ids), 1, 0.0
    for following in ids:
        logits, state = model.next_logits(tf.constant([last]), state)
        total += float(tf.nn.log_softmax(logits)[0, following])
        last = following
    assert len(ids) > 1
    np.testing.assert_allclose(total, found.log_probs[0], rtol=1e-4)


@every_model
def test_a_batch_is_decoded_like_its_rows_alone(name):
    decode = _greedy(name)
    together = _best(decode, _batch(ROWS).src_ids)
    assert decode.num_traces == 1
    for row, (src, _) in enumerate(ROWS):
        alone = _best(decode, tf.constant([[*src, 2]]))
        length = alone.ids.shape[1]
        np.testing.assert_array_equal(together.ids[row, :length], alone.ids[0])
        np.testing.assert_allclose(
            together.log_probs[row], alone.log_probs[0], rtol=1e-4
        )


@pytest.mark.long
@every_model
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits_give_nearly_the_loss_and_gradient_of_32(name, dtype):
    wide, gradients = _gradients(_model(name), _batch(ROWS))
    narrow, others = _gradients(_model(name, dtype=dtype), _batch(ROWS))
    np.testing.assert_allclose(narrow.loss_sum, wide.loss_sum, rtol=0.02)
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients.values()))
    for weight, gradient in gradients.items():
        assert others[weight].dtype == np.float32
        assert np.linalg.norm(others[weight] - gradient) <= 0.05 * norm, weight


@every_model
def test_names_are_those_of_attributes_and_the_same_every_time(name):
    first = list(naming.variables(_model(name)))
    _gradients(_model(name), _batch(ROWS))
    assert list(naming.variables(_model(name, seed=2))) == first
    assert len(first) == len(_model(name).variables)
    if name == "rnn":
        assert "encoder/layers/0/backward/recurrent" in first
        assert "decoder/first/layer/input/kernel" in first
        assert "bridge/layers/1/0/bias" in first


@every_model
def test_a_restored_model_gives_the_same_loss(name, tmp_path):
    saved, fresh = _model(name), _model(name, seed=2)
    checkpoints.save(tmp_path, 1, naming.variables(saved), {})
    _, tensors, _ = checkpoints.read_newest(tmp_path)
    loss = functools.partial(saved.losses, smoothing=tf.constant(0.0), draw=noise.NONE)
    wanted = float(loss(_batch(ROWS)).nll_sum)
    restored = functools.partial(
        fresh.losses, smoothing=tf.constant(0.0), draw=noise.NONE
    )
    assert float(restored(_batch(ROWS)).nll_sum) != wanted
    checkpoints.restore(tensors, naming.variables(fresh), "it")
    assert float(restored(_batch(ROWS)).nll_sum) == wanted


@every_model
def test_dropout_is_drawn_anew_each_step_and_the_same_for_the_same(name):
    model = _model(name, dropout_rate=0.3)

    def loss(step):
        draw = noise.Noise(1, tf.constant(step, tf.int64))
        found = model.losses(_batch(ROWS), smoothing=tf.constant(0.0), draw=draw)
        return float(found.loss_sum)

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


@every_model
def test_the_same_seed_makes_the_same_weights(name):
    one, other = (naming.variables(_model(name)) for _ in range(2))
    for weight, value in one.items():
        np.testing.assert_array_equal(value, other[weight])
