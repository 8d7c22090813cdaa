import numpy as np
import pytest
import tensorflow as tf

from trainers import optimizer_config, optimizers

KINDS = sorted(optimizers.KINDS)


def _make(value, kind="adam", **changes):
    weight = tf.Variable(value, dtype=tf.float32)
    settings = optimizer_config.OptimizerConfig(optimizer=kind, **changes)
    return weight, optimizers.make(settings, {"w": weight})


def _apply(optimizer, gradient, updates=1, rate=0.1, scale=1.0, live=True):
    optimizer.apply(
        {"w": tf.constant(gradient, tf.float32)},
        scale=scale,
        live=tf.constant(live),
        learning_rate=tf.constant(rate),
        updates=tf.constant(float(updates)),
    )


GRADIENTS = ([0.5, 1.0], [-1.0, 3.0], [0.0, 0.1])


def test_three_updates_of_adam_are_those_of_the_paper():
    """Kingma and Ba 2015, end of section 2."""
    weight, adam = _make([1.0, -2.0], beta1=0.9, beta2=0.98, epsilon=1e-3)
    wanted, first, second = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate(GRADIENTS, start=1):
        _apply(adam, gradient, step)
        first = 0.9 * first + 0.1 * np.array(gradient)
        second = 0.98 * second + 0.02 * np.array(gradient) ** 2
        rate = 0.1 * np.sqrt(1 - 0.98**step) / (1 - 0.9**step)
        wanted = wanted - rate * first / (np.sqrt(second) + 1e-3)
        np.testing.assert_allclose(weight, wanted, rtol=1e-5)


def test_adamw_decays_the_weight_and_not_the_gradient():
    """Loshchilov and Hutter 2019, algorithm 2."""
    one, adam = _make([1.0, -2.0])
    two, adamw = _make([1.0, -2.0], "adamw", weight_decay=0.5)
    _apply(adam, [0.5, 1.0])
    _apply(adamw, [0.5, 1.0])
    np.testing.assert_allclose(one - two, 0.1 * 0.5 * np.array([1.0, -2.0]), rtol=1e-5)


def test_three_updates_of_lion_are_those_of_the_paper():
    """Chen et al. 2023, algorithm 2."""
    weight, lion = _make([1.0, -2.0], "lion", beta1=0.9, beta2=0.99, weight_decay=0.1)
    wanted, moment = np.array([1.0, -2.0]), np.zeros(2)
    for step, gradient in enumerate(GRADIENTS, start=1):
        _apply(lion, gradient, step)
        sign = np.sign(0.9 * moment + 0.1 * np.array(gradient))
        wanted = wanted - 0.1 * (sign + 0.1 * wanted)
        moment = 0.99 * moment + 0.01 * np.array(gradient)
        np.testing.assert_allclose(weight, wanted, rtol=1e-5)


def test_three_updates_of_sgd_are_those_of_its_formula():
    weight, sgd = _make([1.0, -2.0], "sgd", momentum=0.5)
    wanted, moment = np.array([1.0, -2.0]), np.zeros(2)
    for step, gradient in enumerate(GRADIENTS, start=1):
        _apply(sgd, gradient, step)
        moment = 0.5 * moment + np.array(gradient)
        wanted = wanted - 0.1 * moment
        np.testing.assert_allclose(weight, wanted, rtol=1e-6)


def test_three_updates_of_adafactor_are_those_of_the_paper():
    """Shazeer and Stern 2018, algorithm 4, for a matrix."""
    draw = np.random.default_rng(1)
    start = draw.normal(size=(3, 4))
    weight, adafactor = _make(start, "adafactor")
    wanted, rows, columns = start.copy(), np.zeros(3), np.zeros(4)
    for step in (1, 2, 3):
        gradient = draw.normal(size=(3, 4))
        _apply(adafactor, gradient, step)
        decay = 1 - step**-0.8
        squares = gradient**2 + 1e-30
        rows = decay * rows + (1 - decay) * squares.mean(axis=1)
        columns = decay * columns + (1 - decay) * squares.mean(axis=0)
        update = gradient / np.sqrt(np.outer(rows, columns) / rows.mean())
        update /= max(1.0, np.sqrt((update**2).mean()))
        wanted = wanted - 0.1 * max(1e-3, np.sqrt((wanted**2).mean())) * update
        np.testing.assert_allclose(weight, wanted, rtol=1e-4)


def test_adafactor_keeps_less_than_one_number_a_weight():
    weight, adafactor = _make(np.zeros((30, 40)), "adafactor")
    sizes = [int(tf.size(v)) for v in adafactor.variables_by_name().values()]
    assert sum(sizes) == 70 < int(tf.size(weight))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("updates", [0, 1])
def test_an_update_that_is_not_live_changes_no_bit(kind, updates):
    """FAULTS 37: whatever the gradient is, and be it the first."""
    decay = {} if kind == "adam" else {"weight_decay": 0.1}
    for value in ([1.0, -2.0], [[1.0, -2.0], [3.0, 4.0]]):
        weight, optimizer = _make(value, kind, **decay)
        if updates:
            _apply(optimizer, np.full_like(value, 0.5), updates)
        variables = [weight, *optimizer.variables_by_name().values()]
        before = [variable.numpy().tobytes() for variable in variables]
        for bad in (np.nan, np.inf, 1.0):
            gradient = np.full_like(value, bad)
            _apply(optimizer, gradient, updates, scale=tf.constant(bad), live=False)
            after = [variable.numpy().tobytes() for variable in variables]
            assert after == before


@pytest.mark.parametrize("kind", KINDS)
def test_every_optimizer_finds_the_bottom_of_a_bowl(kind):
    weight, optimizer = _make([[3.0, -2.0], [1.0, 5.0]], kind)
    for step in range(1, 401):
        _apply(optimizer, weight.numpy(), step, rate=0.05 * (1 - step / 401))
    assert np.abs(weight).max() < 0.3


def test_gradients_are_scaled():
    one, optimizer = _make([0.0, 0.0], epsilon=1.0)
    two, plain = _make([0.0, 0.0], epsilon=1.0)
    _apply(optimizer, [3.0, 4.0], scale=tf.constant(0.2))
    _apply(plain, [0.6, 0.8])
    np.testing.assert_allclose(one, two, rtol=1e-6)


@pytest.mark.parametrize(("norm", "scale"), [(5.0, 0.2), (1.0, 1.0), (0.5, 1.0)])
def test_clipping_scales_down_and_never_up(norm, scale):
    found = optimizers.clip_scale(tf.constant(norm), 1.0)
    assert float(found) == pytest.approx(scale)
    assert optimizers.clip_scale(tf.constant(norm), 0.0) == 1.0


def test_biases_and_normalisation_do_not_decay():
    weights = {
        name: tf.Variable([1.0])
        for name in ("a/kernel", "a/bias", "norm/scale", "norm/offset")
    }
    settings = optimizer_config.OptimizerConfig(optimizer="adamw", weight_decay=0.5)
    optimizers.make(settings, weights).apply(
        {name: tf.constant([0.0]) for name in weights},
        scale=1.0,
        live=tf.constant(True),
        learning_rate=tf.constant(0.1),
        updates=tf.constant(1.0),
    )
    moved = {name for name, weight in weights.items() if float(weight[0]) != 1.0}
    assert moved == {"a/kernel"}


def test_the_global_norm_is_euclidean():
    gradients = {"a": tf.constant([3.0]), "b": tf.constant([[0.0, 4.0]])}
    assert float(optimizers.global_norm(gradients)) == 5.0


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("adam", {"first_moment/w", "second_moment/w"}),
        ("lion", {"moment/w"}),
        ("sgd", {"moment/w"}),
        ("adafactor", {"full/w"}),
    ],
)
def test_moments_are_named_after_their_weights(kind, names):
    _, optimizer = _make([1.0], kind)
    assert set(optimizer.variables_by_name()) == names


@pytest.mark.parametrize(
    "given",
    [
        *({"beta1": 1.0}, {"beta2": -0.1}, {"epsilon": 0.0}, {"clip_norm": -1.0}),
        *({"momentum": 1.0}, {"ema_decay": 1.0}, {"weight_decay": -1.0}),
        *({"accumulate_steps": 0}, {"max_bad_steps": 0}, {"weight_decay": 0.1}),
    ],
)
def test_values_with_which_an_optimizer_is_undefined_are_refused(given):
    with pytest.raises(ValueError, match=f"--{next(iter(given))}"):
        optimizer_config.OptimizerConfig(**given)
