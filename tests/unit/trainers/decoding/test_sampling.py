import numpy as np
import pytest
import tensorflow as tf

from tests import decoding_requests
from trainers.decoding import decoder, sampling

DRAWS = 4000


def _shares(probabilities, **settings):
    """Returns how often each subword is drawn."""
    uniforms = ((np.arange(DRAWS) + 0.5) / DRAWS)[:, None]
    rows = np.full((DRAWS, 2), 2)
    request = decoding_requests.of(rows, uniforms=uniforms)
    search = decoder.Search(
        tf.constant(0), tf.range(DRAWS), request, (), decoder.State((), ())
    )
    logits = tf.tile(tf.math.log([probabilities]), [DRAWS, 1])
    drawn = sampling.Sampling(**settings)(logits, search).numpy()
    return np.bincount(drawn, minlength=len(probabilities)) / DRAWS


PROBABILITIES = [0.1, 0.4, 0.05, 0.25, 0.2]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, PROBABILITIES),
        ({"top_k": 2}, [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]),
        ({"top_k": 99}, PROBABILITIES),
        ({"top_p": 0.39}, [0, 1, 0, 0, 0]),
        ({"top_p": 0.41}, [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]),
        ({"top_p": 0.86}, [0.1 / 0.95, 0.4 / 0.95, 0, 0.25 / 0.95, 0.2 / 0.95]),
        # Of the two likeliest alone, the first has 0.62.
        ({"top_k": 2, "top_p": 0.6}, [0, 1, 0, 0, 0]),
    ],
)
def test_subwords_come_as_often_as_they_are_likely(settings, wanted):
    shares = _shares(PROBABILITIES, **settings)
    np.testing.assert_allclose(shares, wanted, atol=1e-3)


def test_a_temperature_raises_probabilities_to_the_power_of_one_over_it():
    squared = np.square(PROBABILITIES)
    np.testing.assert_allclose(
        _shares(PROBABILITIES, temperature=0.5), squared / squared.sum(), atol=1e-3
    )


def test_what_is_impossible_is_never_drawn():
    shares = _shares([0.0, 0.5, 0.0, 0.5, 0.0])
    assert shares.tolist() == [0, 0.5, 0, 0.5, 0]


def test_random_numbers_belong_to_seed_line_and_sample():
    some = sampling.uniforms(1, 7, 0, 5)
    assert sampling.uniforms(1, 7, 0, 9)[:5].tolist() == some.tolist()
    others = [(2, 7, 0), (1, 8, 0), (1, 7, 1)]
    for other in others:
        assert not np.isin(sampling.uniforms(*other, 5), some).any()
    assert 0 <= some.min() <= some.max() < 1
