import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching
from tests import small_models
from trainers import naming, noise, optimizer_config, train_step
from trainers.models import rnn, scheduled_sampling

SIZE = 20
DRAW = noise.Noise(1, tf.constant(1, tf.int64))
SRC = tf.constant([[5, 6, 2], [7, 2, 0]])
TGT = tf.constant([[1, 8, 9, 10], [1, 11, 12, 13]])


def _model(probability):
    return rnn.Rnn(
        small_models.config("rnn", sampling_probability=probability, dropout_rate=0.0),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
        shared=True,
        rng=np.random.default_rng(1),
    )


def _mixed(probability, src=SRC, tgt=TGT):
    given = tf.constant(probability)
    return scheduled_sampling.mixed(
        _model(0.5), src, tgt, probability=given, draw=DRAW
    ).numpy()


def test_a_probability_of_0_leaves_the_references():
    np.testing.assert_array_equal(_mixed(0.0), TGT)


def test_a_probability_of_1_goes_on_from_guesses_alone():
    model, wanted = _model(0.5), [TGT.numpy()[:, 0]]
    state = model.start(SRC)
    for _ in range(3):
        logits, state = model.next_logits(tf.constant(wanted[-1], tf.int32), state)
        wanted.append(np.argmax(logits, axis=1))
    np.testing.assert_array_equal(_mixed(1.0), np.stack(wanted, axis=1))


def test_the_share_of_guesses_is_the_probability():
    tgt = tf.fill([200, 30], 19)
    share = np.mean(_mixed(0.3, tf.fill([200, 2], 2), tgt)[:, 1:] != 19)
    assert share == pytest.approx(0.3, abs=0.03)


def test_the_probability_rises_on_a_line():
    risen = [
        float(
            scheduled_sampling.risen(
                tf.constant(0.5), 10, noise.Noise(1, tf.constant(step, tf.int64))
            )
        )
        for step in (0, 5, 10, 20)
    ]
    assert risen == pytest.approx([0.0, 0.25, 0.5, 0.5])


def test_another_probability_is_another_loss_and_not_another_trace():
    model = _model(1.0)
    step = train_step.TrainStep(
        model, optimizer_config.OptimizerConfig(), label_smoothing=0.0, seed=1
    )
    out = tf.concat([TGT[:, 1:], [[2], [2]]], axis=1)
    batch = batching.Batch(SRC, TGT, out)
    losses = []
    for probability in (1.0, 0.0):
        model.sampling_probability.assign(probability)
        step([batch], 1e-12)
        losses.append(step.totals.take()["loss_sum"])
    wanted = _model(0.0).losses(batch, smoothing=tf.constant(0.0), draw=noise.NONE)
    assert step.num_traces == 1
    assert losses[1] == pytest.approx(float(wanted.loss_sum), rel=1e-5)
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)


def test_validation_reads_the_references():
    batch = batching.Batch(SRC, TGT, TGT)
    one, other = (
        model.losses(batch, smoothing=tf.constant(0.0), draw=noise.NONE)
        for model in (_model(1.0), _model(0.0))
    )
    assert float(one.loss_sum) == float(other.loss_sum)


def test_without_sampling_nothing_of_it_is_there():
    assert "sampling_probability" not in naming.variables(_model(0.0))
    assert "sampling_probability" in naming.variables(_model(0.1))
