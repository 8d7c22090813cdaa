import numpy as np
import pytest
import tensorflow as tf

from trainers import losses, noise, r_drop

ROWS, WIDTH, SIZE = 7, 5, 11


def _case(seed: int):
    """Returns hidden states of two passes, output vectors and targets."""
    draw = np.random.default_rng(seed)
    return (
        [draw.normal(size=(ROWS, WIDTH)), draw.normal(size=(ROWS, WIDTH))],
        draw.normal(size=(SIZE, WIDTH)),
        draw.integers(0, SIZE, ROWS).astype(np.int32),
    )


def _log_probs(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _oracle(passes, vectors, targets, smoothing, weight):
    """Returns the paper's loss, halved: equations 2 to 4, summed over tokens."""
    p, q = (_log_probs(hidden @ vectors.T) for hidden in passes)
    wanted = np.full(p.shape, smoothing / SIZE)
    wanted[np.arange(ROWS), targets] += 1 - smoothing
    divergence = (np.exp(p) * (p - q)).sum() + (np.exp(q) * (q - p)).sum()
    return -(wanted * (p + q)).sum() / 2 + weight / 2 * divergence / 2


def _outputs(passes, vectors, targets, num_fillers=0):
    vectors = tf.pad(vectors, [[0, num_fillers], [0, 0]], constant_values=9.0)
    return [
        losses.Outputs(tf.convert_to_tensor(hidden), vectors, targets, SIZE)
        for hidden in passes
    ]


@pytest.mark.parametrize(
    ("seed", "smoothing", "weight", "num_fillers"),
    [(0, 0.0, 1.0, 0), (1, 0.1, 5.0, 5), (2, 0.3, 0.5, 1)],
)
def test_the_loss_is_that_of_the_paper_halved(seed, smoothing, weight, num_fillers):
    case = _case(seed)
    outputs = _outputs(*case, num_fillers)
    found = r_drop.of_two(*outputs, weight=weight, smoothing=smoothing)
    wanted = _oracle(*case, smoothing, weight)
    assert float(found.loss_sum) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("weight", "draw", "num_passes"),
    [
        (2.0, noise.Noise(1, tf.constant(3, tf.int64)), 2),
        (0.0, noise.Noise(1, tf.constant(3, tf.int64)), 1),
        (2.0, noise.NONE, 1),
    ],
)
def test_a_batch_is_run_twice_only_where_two_dropouts_can_be_compared(
    weight, draw, num_passes
):
    (one, _) = _outputs(*_case(1))
    draws = []

    def model(batch, draw):
        assert batch == "batch"
        draws.append(draw)
        return one

    r_drop.losses_of(model, "batch", weight=weight, smoothing=0.1, draw=draw)
    assert len(draws) == num_passes


def test_what_is_counted_is_the_mean_of_both_passes():
    outputs = _outputs(*_case(3))
    found = r_drop.of_two(*outputs, weight=1.0, smoothing=0.1)
    passes = [losses.of_hidden(one, smoothing=0.1) for one in outputs]
    assert passes[0].num_correct != passes[1].num_correct  # or the mean is either's
    for name in ("nll_sum", "num_correct", "num_tokens"):
        mean = np.mean([float(getattr(one, name)) for one in passes])
        assert float(getattr(found, name)) == pytest.approx(mean, rel=1e-12), name
    assert float(found.num_tokens) == ROWS


@pytest.mark.parametrize("num_fillers", [0, 5])
def test_the_gradient_is_that_of_finite_differences(num_fillers):
    passes, vectors, targets = _case(5)
    smoothing, weight = 0.1, 3.0
    tensors = [tf.constant(array) for array in (*passes, vectors)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = _outputs(tensors[:2], tensors[2], targets, num_fillers)
        loss = r_drop.of_two(*outputs, weight=weight, smoothing=smoothing).loss_sum
    found = [tf.convert_to_tensor(one) for one in tape.gradient(loss, tensors)]
    arrays = [*passes, vectors]
    for number, array in enumerate(arrays):
        numeric = np.zeros_like(array)
        for index in np.ndindex(*array.shape):
            sides = []
            for shift in (1e-6, -1e-6):
                moved = [one.copy() for one in arrays]
                moved[number][index] += shift
                sides.append(_oracle(moved[:2], moved[2], targets, smoothing, weight))
            numeric[index] = (sides[0] - sides[1]) / 2e-6
        np.testing.assert_allclose(found[number], numeric, rtol=1e-6, atol=1e-7)


def test_two_passes_that_say_the_same_have_the_loss_and_gradient_of_one():
    (hidden, _), vectors, targets = _case(7)
    states = tf.constant(hidden)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(states)
        one, again = _outputs([states, states], vectors, targets)
        plain = losses.of_hidden(one, smoothing=0.1).loss_sum
        twice = r_drop.of_two(one, again, weight=4.0, smoothing=0.1).loss_sum
    assert float(twice) == pytest.approx(float(plain), rel=1e-12)
    np.testing.assert_allclose(
        tape.gradient(twice, states), tape.gradient(plain, states), rtol=1e-10
    )


def test_in_16_bits_far_apart_passes_have_a_finite_loss():
    states = tf.constant([[100.0, 0.0]], tf.bfloat16)
    vectors = tf.constant([[1.0, 0.0], [-1.0, 0.0], [9.0, 9.0]])
    with tf.GradientTape() as tape:
        tape.watch(states)
        one = losses.Outputs(states, vectors, tf.constant([0]), num_subwords=2)
        other = one._replace(hidden=-states)
        found = r_drop.of_two(one, other, weight=1.0, smoothing=0.0)
    # 200 nats of the pass that is wrong, halved, and a quarter of twice 200.
    assert float(found.loss_sum) == pytest.approx(200.0, rel=1e-2)
    assert np.all(
        np.isfinite(tf.cast(tape.gradient(found.loss_sum, states), "float32"))
    )
