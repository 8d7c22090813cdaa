import pytest
import tensorflow as tf

from trainers import loss_scale

YES, NO = tf.constant(True), tf.constant(False)


def _scale(value, good_steps=0):
    scale = loss_scale.LossScale()
    scale.value.assign(value)
    scale.good_steps.assign(good_steps)
    return scale


def test_it_is_doubled_after_enough_good_steps():
    scale = _scale(8.0, good_steps=1998)
    for wanted in (8.0, 16.0, 16.0):
        scale.update(finite=YES, live=YES)
        assert float(scale.value.numpy()) == wanted


@pytest.mark.parametrize(("value", "wanted"), [(8.0, 4.0), (1.0, 1.0)])
def test_an_overflow_halves_it_down_to_1_and_the_count_begins_anew(value, wanted):
    scale = _scale(value, good_steps=1999)
    scale.update(finite=NO, live=YES)
    assert float(scale.value.numpy()) == wanted
    assert int(scale.good_steps.numpy()) == 0


def test_a_trial_of_memory_leaves_it():
    scale = _scale(8.0, good_steps=7)
    for finite in (YES, NO):
        scale.update(finite, live=NO)
    assert float(scale.value.numpy()) == 8.0
    assert int(scale.good_steps.numpy()) == 7
