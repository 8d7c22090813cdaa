"""Recurrent cells: one step forward and, by hand, one step back.

Both read two products, of the input (P, with its bias) and of the state before (R), so
that those of the inputs of all positions can be one. The way back needs little more
than the gates, which the loops in `recurrent.py` and `additive_attention.py` keep.

Sums, gates and states are of 32 bits at least, whatever the products are in.
B rows, D units, G gates times D.
"""

from typing import Protocol

import tensorflow as tf

from trainers import precision

State = tuple[tf.Tensor, ...]  # float [B, D] each; the first is what others read


class Cell(Protocol):
    """What a loop over time must know of a cell.

    Attributes:
        num_gates: G / D.
        num_parts: Tensors of a state.
        num_saved: Tensors that the way back needs beside the states.
        reads_sum: Whether only P + R is read, so that both have one gradient.
    """

    num_gates: int
    num_parts: int
    num_saved: int
    reads_sum: bool

    def forward(
        self, projected: tf.Tensor, recurrent: tf.Tensor, before: State
    ) -> tuple[State, State]:
        """Returns the state after a step and what the way back needs.

        Args:
            projected: P, float [B, G].
            recurrent: R, float [B, G].
            before: The state before.
        """

    def backward(
        self, upstream: State, saved: State, before: State, after: State
    ) -> tuple[tf.Tensor, tf.Tensor, State]:
        """Returns the gradients by P and R, [B, G], and directly by the state before.

        Args:
            upstream: Gradient by the state after.
            saved: From `forward`.
            before: The state before.
            after: The state after.
        """


class Lstm:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    i, f, o = sigmoid(P + R), g = tanh(P + R), c' = f c + i g, h' = o tanh(c'); the
    gates lie in the order i, f, o, g, so that three are one sigmoid. The state is h, c.
    """

    num_gates = 4
    num_parts = 2
    num_saved = 4
    reads_sum = True

    def forward(
        self, projected: tf.Tensor, recurrent: tf.Tensor, before: State
    ) -> tuple[State, State]:
        """Returns (h', c') and what the way back needs."""
        total = precision.precise(projected) + precision.precise(recurrent)
        *gates, candidate = tf.split(total, 4, axis=1)
        take, keep, show = map(tf.sigmoid, gates)
        candidate = tf.tanh(candidate)
        content = keep * before[1] + take * candidate
        return (show * tf.tanh(content), content), (take, keep, show, candidate)

    def backward(
        self, upstream: State, saved: State, before: State, after: State
    ) -> tuple[tf.Tensor, tf.Tensor, State]:
        """Returns the gradients by P and R, the same, and by (h, c)."""
        of_shown, of_content = upstream
        take, keep, show, candidate = saved
        squashed = tf.tanh(after[1])
        of_content += of_shown * show * (1.0 - tf.square(squashed))
        by_sum = tf.concat(
            [
                of_content * candidate * take * (1.0 - take),
                of_content * before[1] * keep * (1.0 - keep),
                of_shown * squashed * show * (1.0 - show),
                of_content * take * (1.0 - tf.square(candidate)),
            ],
            axis=1,
        )
        nothing = tf.zeros([], of_content.dtype)  # h counts through R alone
        return by_sum, by_sum, (nothing, of_content * keep)


class Gru:
    """Cho et al. 2014, https://arxiv.org/abs/1406.1078, in the form of cuDNN.

    z, r = sigmoid(P + R), n = tanh(P + r R), h' = (1 - z) n + z h: the reset gate acts
    on the product and not on the state, so that R is one product. The state is h.
    """

    num_gates = 3
    num_parts = 1
    num_saved = 4
    reads_sum = False

    def forward(
        self, projected: tf.Tensor, recurrent: tf.Tensor, before: State
    ) -> tuple[State, State]:
        """Returns (h',) and what the way back needs."""
        of_input = tf.split(precision.precise(projected), 3, axis=1)
        of_state = tf.split(precision.precise(recurrent), 3, axis=1)
        keep = tf.sigmoid(of_input[0] + of_state[0])
        reset = tf.sigmoid(of_input[1] + of_state[1])
        candidate = tf.tanh(of_input[2] + reset * of_state[2])
        after = candidate + keep * (before[0] - candidate)
        return (after,), (keep, reset, candidate, of_state[2])

    def backward(
        self, upstream: State, saved: State, before: State, after: State
    ) -> tuple[tf.Tensor, tf.Tensor, State]:
        """Returns the gradients by P and R and by (h,)."""
        del after
        keep, reset, candidate, of_state = saved
        by_candidate = upstream[0] * (1.0 - keep) * (1.0 - tf.square(candidate))
        by_gates = (
            upstream[0] * (before[0] - candidate) * keep * (1.0 - keep),
            by_candidate * of_state * reset * (1.0 - reset),
        )
        by_projected = tf.concat([*by_gates, by_candidate], axis=1)
        by_recurrent = tf.concat([*by_gates, by_candidate * reset], axis=1)
        return by_projected, by_recurrent, (upstream[0] * keep,)


BY_NAME: dict[str, Cell] = {"lstm": Lstm(), "gru": Gru()}
