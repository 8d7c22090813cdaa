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
        return given.uniform(tf.constant(100), tf.constant(50), place).numpy()

    assert draw().mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(draw(), draw())
    for changed in ({"seed": 2}, {"step": 2}, {"place": "b"}):
        assert (draw(**changed) != draw()).mean() > 0.99


def _by_lane(first, num, shape=(240, 16), num_rows=None, place="a"):
    draw = noise.Noise(
        1, tf.constant(5, tf.int64), 0, noise.Lanes(tf.constant(first, tf.int64), num)
    )
    if num_rows is not None:
        draw = draw.positions_first(tf.constant(num_rows))
    return draw.dropout(tf.ones(shape), 0.5, place).numpy()


@pytest.mark.parametrize("width", [16, 13])
@pytest.mark.parametrize("num_readers", [2, 4])
def test_replicas_draw_for_their_rows_what_one_would_draw(num_readers, width):
    whole = _by_lane(0, 4, (240, width))
    lanes, rows = 4 // num_readers, 240 // num_readers
    parts = [
        _by_lane(lanes * reader, lanes, (rows, width)) for reader in range(num_readers)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(whole[:60], whole[60:120])


def test_with_positions_first_the_lanes_are_still_parts_of_the_rows():
    whole = _by_lane(0, 4, (5 * 24, 16), num_rows=24).reshape(5, 24, 16)
    parts = [
        _by_lane(2 * reader, 2, (5 * 12, 16), num_rows=12).reshape(5, 12, 16)
        for reader in range(2)
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_coins_are_tossed_by_lane_too():
    def toss(first, num, num_rows):
        lanes = noise.Lanes(first, num)
        draw = noise.Noise(1, tf.constant(5, tf.int64), 0, lanes)
        return draw.uniform(tf.constant(3), tf.constant(num_rows), "a").numpy()

    parts = [toss(0, 2, 8), toss(2, 2, 8)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), toss(0, 4, 16))


def test_parts_of_a_batch_and_lanes_never_share_their_noise():
    draws = {
        noise.Noise(1, tf.constant(1, tf.int64), micro, noise.Lanes(lane))
        .dropout(tf.ones([1, 64]), 0.5, "a")
        .numpy()
        .tobytes()
        for micro in range(4)
        for lane in range(4)
    }
    assert len(draws) == 16
