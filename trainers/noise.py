"""Dropout whose noise is a pure function of (seed, step, place in the model).

A resumed run draws at step n what the uninterrupted run drew there, and no generator
state has to be saved. One byte of a random 64-bit integer decides about one value: on a
CPU the random bits are most of what dropout costs. A rate is therefore a multiple of
1/256, and the kept values are scaled by the exact inverse, so that the expectation is
the input.
"""

import zlib

import tensorflow as tf

_BYTE_VALUES = 256
_STEPS_OF_A_PART = 1 << 40  # more than any run has


class Noise:
    """The noise of one training step, or none."""

    def __init__(
        self,
        seed: int,
        step: tf.Tensor | tf.Variable | None,
        micro: tf.Tensor | tf.Variable | int = 0,
    ) -> None:
        """Fixes the step.

        Args:
            seed: Of the run.
            step: int64 [], or None for no dropout at all.
            micro: Which part of the step's batch, int64 [].
        """
        self._seed = seed
        self._step = step
        self._micro = micro

    def dropout(self, values: tf.Tensor, rate: float, place: str) -> tf.Tensor:
        """Returns values with a share of them 0 and the rest scaled up.

        Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html.

        Args:
            values: float [N, D]; fastest where D is a multiple of 8.
            rate: Share to drop, in [0, 1).
            place: Where in the model; another place, another noise.
        """
        dropped = round(rate * _BYTE_VALUES)
        if self._step is None or not dropped:
            return values
        draws = self._bytes(values, place)
        scale = tf.constant(_BYTE_VALUES / (_BYTE_VALUES - dropped), values.dtype)
        return values * (tf.cast(draws >= dropped, values.dtype) * scale)

    def _bytes(self, values: tf.Tensor, place: str) -> tf.Tensor:
        """Returns a random byte for each value, uint8 [N, D]."""
        rows, columns = tf.unstack(tf.shape(values))
        whole = values.shape[1] is not None and values.shape[1] % 8 == 0
        bits = tf.random.stateless_uniform(
            [rows, values.shape[1] // 8] if whole else [rows * columns // 8 + 1],
            seed=tf.stack([tf.constant(self._key(place), tf.int64), self._when()]),
            minval=None,
            maxval=None,
            dtype=tf.int64,
            alg="philox",
        )
        draws = tf.bitcast(bits, tf.uint8)
        if not whole:
            draws = tf.reshape(draws, [-1])[: rows * columns]
        return tf.reshape(draws, [rows, columns])

    def apart(self, part: str) -> "Noise":
        """Returns another noise, for a part of a model that is run a second time."""
        if self._step is None:
            return self
        seed = (self._seed + zlib.crc32(part.encode())) % 2**31
        return Noise(seed, self._step, self._micro)

    def uniform(self, shape: list[tf.Tensor], place: str) -> tf.Tensor:
        """Returns numbers in [0, 1), float32 [...], for a noise that has a step.

        Args:
            shape: Of what is returned, int32 [] each.
            place: Where in the model; another place, another noise.
        """
        seed = tf.stack([tf.constant(self._key(place), tf.int64), self._when()])
        return tf.random.stateless_uniform(shape, seed=seed, alg="philox")

    @property
    def step(self) -> tf.Tensor:
        """The step, int64 [], of a noise that has one."""
        return tf.convert_to_tensor(self._step)

    def _key(self, place: str) -> int:
        return (self._seed << 32) ^ zlib.crc32(place.encode())

    def _when(self) -> tf.Tensor:
        """Returns step and part as one number, int64 []."""
        part = tf.cast(self._micro, tf.int64) * _STEPS_OF_A_PART
        return tf.cast(self._step, tf.int64) + part


NONE = Noise(0, None)
