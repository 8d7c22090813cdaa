import numpy as np
import pytest
import tensorflow as tf

from trainers import config, optimizers


def _adam(value, **changes):
    weight = tf.Variable(value, dtype=tf.float32)
    settings = config.OptimizerConfig(**changes)
    return weight, optimizers.Adam(settings, {"w": weight})


def _apply(adam, gradient, updates, rate=0.1):
    gradients = {"w": tf.constant(gradient, tf.float32)}
    adam.apply(
        gradients,
        optimizers.global_norm(gradients),
        learning_rate=tf.constant(rate),
        updates=tf.constant(float(updates)),
    )


def test_three_updates_are_those_of_the_paper():
    """Kingma and Ba 2015, end of section 2."""
    weight, adam = _adam([1.0, -2.0], beta1=0.9, beta2=0.98, epsilon=1e-3)
    wanted, first, second = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate(([0.5, 1.0], [-1.0, 3.0], [0.0, 0.1]), start=1):
        _apply(adam, gradient, step)
        first = 0.9 * first + 0.1 * np.array(gradient)
        second = 0.98 * second + 0.02 * np.array(gradient) ** 2
        rate = 0.1 * np.sqrt(1 - 0.98**step) / (1 - 0.9**step)
        wanted = wanted - rate * first / (np.sqrt(second) + 1e-3)
        np.testing.assert_allclose(weight, wanted, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_update_that_is_not_finite_changes_no_bit(bad):
    """FAULTS 37."""
    weight, adam = _adam([1.0, -2.0])
    _apply(adam, [0.5, 1.0], 1)
    variables = [weight, *adam.variables_by_name().values()]
    before = [variable.numpy().tobytes() for variable in variables]
    _apply(adam, [bad, 1.0], 2)
    assert [variable.numpy().tobytes() for variable in variables] == before


def test_gradients_are_clipped_by_their_norm_together():
    one, clipped = _adam([0.0, 0.0], clip_norm=1.0, epsilon=1.0)
    two, plain = _adam([0.0, 0.0], epsilon=1.0)
    _apply(clipped, [3.0, 4.0], 1)
    _apply(plain, [0.6, 0.8], 1)
    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_a_small_gradient_is_not_scaled_up_by_clipping():
    one, clipped = _adam([0.0, 0.0], clip_norm=10.0, epsilon=1.0)
    two, plain = _adam([0.0, 0.0], epsilon=1.0)
    _apply(clipped, [3.0, 4.0], 1)
    _apply(plain, [3.0, 4.0], 1)
    np.testing.assert_array_equal(one, two)


def test_the_global_norm_is_euclidean():
    gradients = {"a": tf.constant([3.0]), "b": tf.constant([[0.0, 4.0]])}
    assert float(optimizers.global_norm(gradients)) == 5.0


def test_moments_are_named_after_their_weights():
    _, adam = _adam([1.0])
    assert set(adam.variables_by_name()) == {"first_moment/w", "second_moment/w"}


@pytest.mark.parametrize(
    "given", [{"beta1": 1.0}, {"beta2": -0.1}, {"epsilon": 0.0}, {"clip_norm": -1.0}]
)
def test_values_with_which_adam_is_undefined_are_refused(given):
    with pytest.raises(ValueError, match=f"--{next(iter(given))}"):
        config.OptimizerConfig(**given)
