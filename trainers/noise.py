"""Dropout whose noise is a pure function of (seed, step, lane, place in the model).

A resumed run draws at step n what the uninterrupted run drew there, and no generator
state has to be saved. Each lane of the plan has noise of its own, so that a replica
draws for its rows what one replica alone would draw for them. One byte of a random
64-bit integer decides about one value: on a CPU the random bits are most of what
dropout costs. A rate is therefore a multiple of 1/256, and the kept values are scaled
by the exact inverse, so that the expectation is the input.
"""

import zlib
from typing import NamedTuple

import tensorflow as tf

_BYTE_VALUES = 256
_STEPS_OF_A_PART = 1 << 40  # more than any run has
_PARTS_OF_A_LANE = 1 << 12  # more than any batch is accumulated from


class Lanes(NamedTuple):
    """The lanes of the plan that the rows of a batch are from, in equal parts.

    Attributes:
        first: Number of the first one, int64 [] or int.
        num: How many there are.
    """

    first: tf.Tensor | int = 0
    num: int = 1


ONE_LANE = Lanes()


class Noise:
    """The noise of one training step, or none."""

    def __init__(
        self,
        seed: int,
        step: tf.Tensor | tf.Variable | None,
        micro: tf.Tensor | tf.Variable | int = 0,
        lanes: Lanes = ONE_LANE,
        num_rows: tf.Tensor | None = None,
    ) -> None:
        """Fixes the step.

        Args:
            seed: Of the run.
            step: int64 [], or None for no dropout at all.
            micro: Which part of the step's batch, int64 [].
            lanes: Where the rows of that part are from.
            num_rows: How many there are, int32 [], if what is dropped counts a position
                of each row, then the next position's; see `positions_first`.
        """
        self._seed = seed
        self._step = step
        self._micro = micro
        self._lanes = lanes
        self._num_rows = num_rows

    def positions_first(self, num_rows: tf.Tensor) -> "Noise":
        """Returns the same noise for values [T * B, D] instead of [B * T, D].

        Args:
            num_rows: B, int32 [].
        """
        if self._step is None:
            return self
        return Noise(self._seed, self._step, self._micro, self._lanes, num_rows)

    def dropout(self, values: tf.Tensor, rate: float, place: str) -> tf.Tensor:
        """Returns values with a share of them 0 and the rest scaled up.

        Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html.

        Args:
            values: float [N, D]; fastest where D is a multiple of 8. N counts all
                that belongs to a row of the batch, then the next row's, unless
                `positions_first` said otherwise.
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
        width = values.shape[1]
        count = self._lanes.num
        if count == 1:
            return self._bytes_of_lane(rows, columns, width, place, 0)
        draws = [
            self._bytes_of_lane(rows // count, columns, width, place, lane)
            for lane in range(count)
        ]
        if self._num_rows is None:
            return tf.concat(draws, axis=0)
        by_position = [rows // self._num_rows, self._num_rows // count, columns]
        parts = [tf.reshape(draw, by_position) for draw in draws]
        return tf.reshape(tf.concat(parts, axis=1), [rows, columns])

    def _bytes_of_lane(
        self,
        rows: tf.Tensor,
        columns: tf.Tensor,
        width: int | None,
        place: str,
        lane: int,
    ) -> tf.Tensor:
        """Returns a random byte for each value of a lane, uint8 [rows, columns].

        Args:
            rows: int32 [].
            columns: int32 [].
            width: The same where it is known beforehand.
            place: Where in the model.
            lane: Counted from the first of these.
        """
        whole = width is not None and width % 8 == 0
        bits = tf.random.stateless_uniform(
            [rows, width // 8] if width and whole else [rows * columns // 8 + 1],
            seed=tf.stack([self._key(place), self._when(lane)]),
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
        return Noise(seed, self._step, self._micro, self._lanes, self._num_rows)

    def uniform(self, length: tf.Tensor, num_rows: tf.Tensor, place: str) -> tf.Tensor:
        """Returns numbers in [0, 1), float32 [T, B], for a noise that has a step.

        Args:
            length: T, int32 [].
            num_rows: Rows of the batch, B, int32 [].
            place: Where in the model; another place, another noise.
        """
        count = self._lanes.num
        draws = [
            tf.random.stateless_uniform(
                [length, num_rows // count],
                seed=tf.stack([self._key(place), self._when(lane)]),
                alg="philox",
            )
            for lane in range(count)
        ]
        return tf.concat(draws, axis=1) if count > 1 else draws[0]

    @property
    def step(self) -> tf.Tensor:
        """The step, int64 [], of a noise that has one."""
        return tf.convert_to_tensor(self._step)

    def _key(self, place: str) -> tf.Tensor:
        return tf.constant((self._seed << 32) ^ zlib.crc32(place.encode()), tf.int64)

    def _when(self, lane: int) -> tf.Tensor:
        """Returns step, part and lane as one number, int64 []."""
        lanes_before = tf.cast(self._lanes.first, tf.int64) + lane
        part = tf.cast(self._micro, tf.int64) + lanes_before * _PARTS_OF_A_LANE
        return tf.cast(self._step, tf.int64) + part * _STEPS_OF_A_PART


NONE = Noise(0, None)
