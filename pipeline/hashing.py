"""A hash of our own, so that no library's random stream can change what is drawn."""

import numpy as np

# What a hash is for: one of the keys, so that no two draws are the same.
SHARD_ORDER, ROW_ORDER, BATCH_ORDER, COPIES = 1, 2, 3, 4


def bits(values: np.ndarray, *keys: int) -> np.ndarray:
    """Returns 64 well-mixed bits a value, uint64, for these keys.

    SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195), whose output
    function is a bijection: distinct values get distinct hashes.

    Args:
        values: Integers, [N].
        keys: What the bits are for; others give others.
    """
    state = np.zeros(1, np.uint64)
    for key in keys:
        state = _mix(state ^ np.uint64(key & 0xFFFFFFFFFFFFFFFF))
    return _mix(values.astype(np.uint64) + state)


def order(count: int, *keys: int) -> np.ndarray:
    """Returns a permutation of 0 to `count` - 1, int64 [count], for these keys."""
    return np.argsort(bits(np.arange(count), *keys), kind="stable")


def _mix(state: np.ndarray) -> np.ndarray:
    mixed = state + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
