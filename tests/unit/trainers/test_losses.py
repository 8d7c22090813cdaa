import numpy as np
import pytest
import tensorflow as tf

from trainers import losses


def _oracle(logits: np.ndarray, targets: np.ndarray, smoothing: float):
    """Returns (smoothed cross-entropy, negative log-likelihood) of [N, V], summed."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    size = logits.shape[1]
    wanted = np.full(logits.shape, smoothing / size)
    wanted[np.arange(len(targets)), targets] += 1 - smoothing
    nll = -log_probs[np.arange(len(targets)), targets]
    return -(wanted * log_probs).sum(), nll.sum()


def _case(seed: int, rows: int = 7, width: int = 5, size: int = 11):
    draw = np.random.default_rng(seed)
    return (
        draw.normal(size=(rows, width)),
        draw.normal(size=(size, width)),
        draw.integers(0, size, rows).astype(np.int32),
    )


def _with_fillers(vectors: np.ndarray, count: int) -> tf.Tensor:
    """Returns the vectors with rows after them that belong to no subword."""
    return tf.constant(np.pad(vectors, ((0, count), (0, 0)), constant_values=9.0))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_fillers", [0, 5])
def test_the_loss_is_the_cross_entropy_of_the_smoothed_target(
    seed, smoothing, num_fillers
):
    hidden, vectors, targets = _case(seed)
    found = losses.of_hidden(
        losses.Outputs(
            tf.constant(hidden),
            _with_fillers(vectors, num_fillers),
            tf.constant(targets),
            num_subwords=len(vectors),
        ),
        smoothing=smoothing,
    )
    loss, nll = _oracle(hidden @ vectors.T, targets, smoothing)
    assert float(found.loss_sum) == pytest.approx(loss, rel=1e-12)
    assert float(found.nll_sum) == pytest.approx(nll, rel=1e-12)
    assert float(found.num_tokens) == len(targets)
    correct = (hidden @ vectors.T).argmax(axis=1) == targets
    assert float(found.num_correct) == correct.sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("num_fillers", [0, 5])
def test_the_gradient_is_that_of_finite_differences(smoothing, num_fillers):
    """Promise P4, in float64."""
    hidden, vectors, targets = _case(5)

    def loss(one, other):
        return _oracle(one @ other.T, targets, smoothing)[0]

    one, other = tf.constant(hidden), _with_fillers(vectors, num_fillers)
    with tf.GradientTape() as tape:
        tape.watch([one, other])
        value = losses.of_hidden(
            losses.Outputs(one, other, tf.constant(targets), len(vectors)),
            smoothing=smoothing,
        )
    gradients = [
        tf.convert_to_tensor(gradient).numpy()
        for gradient in tape.gradient(value.loss_sum, [one, other])
    ]
    for number, array in enumerate((hidden, vectors)):
        numeric = np.zeros_like(array)
        for index in np.ndindex(*array.shape):
            sides = []
            for shift in (1e-6, -1e-6):
                moved = [hidden.copy(), vectors.copy()]
                moved[number][index] += shift
                sides.append(loss(*moved))
            numeric[index] = (sides[0] - sides[1]) / 2e-6
        found = gradients[number][: len(array)]
        np.testing.assert_allclose(found, numeric, rtol=1e-6, atol=1e-8)
        assert not gradients[number][len(array) :].any()


def test_large_logits_neither_overflow_nor_vanish():
    hidden = tf.constant([[1000.0, 0.0], [-1000.0, 0.0]])
    vectors = tf.constant([[1.0, 0.0], [0.9, 0.0], [-1.0, 0.0]])
    outputs = losses.Outputs(hidden, vectors, tf.constant([0, 2]), num_subwords=3)
    found = losses.of_hidden(outputs, smoothing=0.0)
    assert float(found.nll_sum) == pytest.approx(0.0, abs=1e-6)


def test_in_16_bits_a_target_is_right_if_its_rounded_logit_is_the_largest():
    """The product is rounded to 8 bits, by more than what parts the best two."""
    draw = np.random.default_rng(3)
    hidden = tf.constant(draw.normal(size=(400, 64)), tf.bfloat16)
    vectors = tf.constant(draw.normal(size=(50, 64)), tf.float32)
    logits = tf.matmul(hidden, tf.cast(vectors, tf.bfloat16), transpose_b=True)
    targets = tf.argmax(tf.cast(logits, tf.float32), 1, tf.int32)
    outputs = losses.Outputs(hidden, vectors, targets, num_subwords=50)
    found = losses.of_hidden(outputs, smoothing=0.0)
    assert float(found.num_correct) == 400
    wrong = outputs._replace(targets=(targets + 1) % 50)
    found = losses.of_hidden(wrong, smoothing=0.0)
    assert float(found.num_correct) < 20


def test_losses_of_logits_are_those_of_hidden_states_and_skip_padding():
    hidden, vectors, targets = _case(7, rows=6)
    logits = (hidden @ vectors.T).astype(np.float32).reshape(2, 3, -1)
    ids = np.maximum(targets, 1).reshape(2, 3)
    ids[1, 2] = 0  # PAD
    found = losses.of_logits(tf.constant(logits), tf.constant(ids), smoothing=0.1)
    real = ids.reshape(-1) != 0
    loss, nll = _oracle(logits.reshape(6, -1)[real], ids.reshape(-1)[real], 0.1)
    assert float(found.loss_sum) == pytest.approx(loss, rel=1e-5)
    assert float(found.nll_sum) == pytest.approx(nll, rel=1e-5)
    assert float(found.num_tokens) == 5


def test_a_uniform_model_loses_the_logarithm_of_the_vocabulary():
    outputs = losses.Outputs(
        tf.zeros([3, 4]), tf.zeros([8, 4]), tf.constant([1, 2, 3]), num_subwords=8
    )
    found = losses.of_hidden(outputs, smoothing=0.1)
    assert float(found.loss_sum) == pytest.approx(3 * np.log(8), rel=1e-6)
