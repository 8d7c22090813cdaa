import numpy as np

from pipeline import hashing


def test_bits_without_keys_are_the_published_ones_of_splitmix64():
    """The first output of https://prng.di.unimi.it/splitmix64.c for the seed 0."""
    assert hashing.bits(np.array([0])).tolist() == [0xE220A8397B1DCDAF]


def test_an_order_is_a_permutation_that_its_keys_decide():
    order = hashing.order(1000, 3, 1)
    assert sorted(order) == list(range(1000))
    assert order.tolist() == hashing.order(1000, 3, 1).tolist()
    assert order.tolist() != hashing.order(1000, 3, 2).tolist()
