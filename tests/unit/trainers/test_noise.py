import numpy as np
import pytest
import tensorflow as tf

from trainers import noise


def _draw(seed=1, step=1, place="a", rate=0.25, shape=(400, 64)):
    values = noise.Noise(seed, tf.constant(step, tf.int64)).dropout(
        tf.ones(shape), rate, place
    )
    return values.numpy()


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_the_share_of_zeros_is_the_rate_and_the_mean_is_kept(rate):
    values = _draw(rate=rate, shape=(2000, 128))
    assert (values == 0).mean() == pytest.approx(rate, abs=0.006)
    assert values.mean() == pytest.approx(1.0, abs=0.01)
    assert len(np.unique(values)) == 2


@pytest.mark.parametrize("shape", [(300, 13), (1, 7), (41, 3)])
def test_any_number_of_columns_can_be_dropped(shape):
    values = tf.ones(shape)

    @tf.function(input_signature=[tf.TensorSpec([None, None])])
    def dropped(values):
        return noise.Noise(1, tf.constant(1, tf.int64)).dropout(values, 0.5, "a")

    drawn = dropped(values).numpy()
    assert drawn.shape == shape
    assert (drawn == 0).mean() == pytest.approx(0.5, abs=1 / np.sqrt(drawn.size))
    np.testing.assert_array_equal(drawn, dropped(values))


def test_the_same_seed_step_and_place_draw_the_same_noise():
    np.testing.assert_array_equal(_draw(), _draw())


@pytest.mark.parametrize(
    "changed",
    [{"seed": 2}, {"step": 2}, {"place": "b"}],
    ids=str,
)
def test_another_seed_step_or_place_draws_another(changed):
    equal = (_draw() == _draw(**changed)).mean()
    assert equal == pytest.approx(0.25**2 + 0.75**2, abs=0.02)


def test_rows_do_not_repeat_one_another():
    values = _draw(shape=(50, 64))
    assert len(np.unique(values, axis=0)) == 50


def test_without_a_step_or_a_rate_nothing_is_dropped():
    ones = tf.ones([4, 8])
    assert noise.NONE.dropout(ones, 0.5, "a") is ones
    assert noise.Noise(1, tf.constant(1, tf.int64)).dropout(ones, 0.0, "a") is ones


def test_uniform_numbers_are_a_function_of_seed_step_and_place():
    def draw(seed=1, step=1, place="a"):
        given = noise.Noise(seed, tf.constant(step, tf.int64))
        return given.uniform([tf.constant(100), tf.constant(50)], place).numpy()

    assert draw().mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(draw(), draw())
    for changed in ({"seed": 2}, {"step": 2}, {"place": "b"}):
        assert (draw(**changed) != draw()).mean() > 0.99
