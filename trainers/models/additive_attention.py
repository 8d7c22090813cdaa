"""Additive attention inside a recurrent layer.

Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, section A.1.2, with s the state
before a position and h_j what the encoder says of source position j:

    e_j = v . tanh(W s + U h_j + b),  a = softmax(e),  c = sum_j a_j h_j

and c is an input of the cell beside the embedding. The tanh of all pairs of positions,
[B, T, S, A], would be the largest array of a step by far. It is made for one target
position at a time, and made again on the way back; what stays are the weights a,
[T, B, S], so memory grows with B * S * A and not with T times that.

B rows, S source length, T target length, D units, A width of the attention, M width of
the encoder, G gates times D.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from trainers import precision
from trainers.models import attention, cells, layers, recurrent


class Memory(NamedTuple):
    """What is attended to.

    Attributes:
        keys: U h + b, float [B, S, A].
        values: h, float [B, S, M].
        mask: Added to the scores, 0 or very low, float32 [B, S].
    """

    keys: tf.Tensor
    values: tf.Tensor
    mask: tf.Tensor


class Weights(NamedTuple):
    """The weights that the loop reads.

    Attributes:
        of_state: Recurrent ones of the cell and, beside them, W: float [D, G + A].
        of_context: Those of the cell for c, float [M, G].
        score: v, float [A].
    """

    of_state: tf.Tensor
    of_context: tf.Tensor
    score: tf.Tensor


class _Trace(NamedTuple):
    """What the loop did: as in `recurrent.Trace`, and a and c of every position."""

    states: cells.State
    saved: recurrent.Arrays
    attended: tf.Tensor  # [T, B, S]
    contexts: tf.Tensor  # [T, B, M]


class AttentiveRecurrent(tf.Module):
    """A recurrent layer that attends before every step."""

    def __init__(
        self,
        cell: str,
        inputs: int,
        units: int,
        memory: int,
        *,
        rng: np.random.Generator,
    ) -> None:
        """Makes the cell, and attention of `units` for an encoder of `memory` units."""
        super().__init__()
        self.layer = recurrent.Recurrent(cell, inputs, units, rng=rng)
        width = units * self.layer.cell.num_gates
        self.context = layers.weights(memory, width, rng=rng)
        self.query = layers.weights(units, units, rng=rng)
        self.key = layers.Dense(memory, units, rng=rng)
        self.score = tf.Variable(rng.normal(0.0, units**-0.5, units), dtype=tf.float32)

    def memory(self, encoded: tf.Tensor, is_token: tf.Tensor) -> Memory:
        """Returns what is attended to, for float [B, S, M] and bool [B, S]."""
        num_rows, length = tf.unstack(tf.shape(is_token))
        size = self.key.kernel.shape[0]
        keys = self.key(tf.reshape(encoded, [-1, size]))
        return Memory(
            keys=tf.reshape(keys, [num_rows, length, keys.shape[1]]),
            values=encoded,
            mask=tf.where(is_token, 0.0, attention.MASKED),
        )

    def __call__(
        self, values: tf.Tensor, initial: cells.State, memory: Memory
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns outputs, [T * B, D], and contexts, [T * B, M], for [T * B, E]."""
        outputs, contexts = _over_time(
            self.layer.cell,
            self._projected(values, memory),
            initial,
            memory,
            self._weights(values.dtype),
        )
        size = memory.values.shape[2]
        return (
            tf.cast(tf.reshape(outputs, [-1, self.layer.units]), values.dtype),
            tf.reshape(contexts, [-1, size]),
        )

    def weights(
        self, values: tf.Tensor, initial: cells.State, memory: Memory
    ) -> tf.Tensor:
        """Returns how much is taken from where, [B, T, S], for [T * B, E]."""
        trace = _forward(
            self.layer.cell,
            self._projected(values, memory),
            initial,
            memory,
            self._weights(values.dtype),
        )
        return tf.transpose(trace.attended, [1, 0, 2])

    def step(
        self, values: tf.Tensor, state: cells.State, memory: Memory
    ) -> tuple[cells.State, tf.Tensor]:
        """Returns the state after one more position, for [B, E], and c, [B, M]."""
        state, _, _, context = _step(
            self.layer.cell,
            self.layer.input(values),
            state,
            memory,
            self._weights(values.dtype),
        )
        return state, context

    def _projected(self, values: tf.Tensor, memory: Memory) -> tf.Tensor:
        """Returns P of all positions, [T, B, G], for [T * B, E]."""
        projected = self.layer.input(values)
        num_rows = tf.shape(memory.keys)[0]
        return tf.reshape(projected, [-1, num_rows, projected.shape[1]])

    def _weights(self, dtype: tf.DType) -> Weights:
        of_state = tf.concat([self.layer.recurrent, self.query], axis=1)
        return Weights(
            *(tf.cast(part, dtype) for part in (of_state, self.context, self.score))
        )


def _over_time(
    cell: cells.Cell,
    projected: tf.Tensor,
    initial: cells.State,
    memory: Memory,
    weights: Weights,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns outputs, [T, B, D], and contexts, [T, B, M], for [T, B, G]."""

    @tf.custom_gradient
    def compute(
        projected: tf.Tensor,
        keys: tf.Tensor,
        values: tf.Tensor,
        of_state: tf.Tensor,
        of_context: tf.Tensor,
        score: tf.Tensor,
        *initial: tf.Tensor,
    ) -> Any:
        inner = Memory(keys, values, memory.mask)
        inner_weights = Weights(of_state, of_context, score)
        trace = _forward(cell, projected, initial, inner, inner_weights)

        def gradient(*upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return _backward(cell, trace, upstream, inner, inner_weights)

        return (trace.states[0][1:], trace.contexts), gradient

    outputs: tuple[tf.Tensor, tf.Tensor] = compute(
        projected, memory.keys, memory.values, *weights, *initial
    )
    return outputs


def _step(
    cell: cells.Cell,
    projected: tf.Tensor,
    state: cells.State,
    memory: Memory,
    weights: Weights,
) -> tuple[cells.State, cells.State, tf.Tensor, tf.Tensor]:
    """Returns the state after a position, what its way back needs, a and c."""
    product = tf.matmul(tf.cast(state[0], projected.dtype), weights.of_state)
    width = weights.of_context.shape[1]
    tanh = _tanh(memory.keys, product[:, width:])
    attended = tf.nn.softmax(_scores(tanh, weights.score) + memory.mask)
    context = _sum(tf.cast(attended, tanh.dtype), memory.values)
    projected += tf.matmul(context, weights.of_context)
    state, saved = cell.forward(projected, product[:, :width], state)
    return state, saved, attended, context


def _tanh(keys: tf.Tensor, query: tf.Tensor) -> tf.Tensor:
    """Returns tanh(W s + U h + b), float [B, S, A], for [B, S, A] and [B, A]."""
    return tf.tanh(keys + query[:, None])


def _scores(tanh: tf.Tensor, score: tf.Tensor) -> tf.Tensor:
    """Returns v . tanh for every source position, [B, S], of 32 bits at least."""
    flat = tf.reshape(tanh, [-1, tf.size(score)])
    return precision.precise(
        tf.reshape(tf.matmul(flat, score[:, None]), tf.shape(tanh)[:2])
    )


def _sum(weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns sums of [B, S, M] weighted by [B, S], float [B, M]."""
    return tf.matmul(weights[:, None], values)[:, 0]


def _forward(
    cell: cells.Cell,
    projected: tf.Tensor,
    initial: cells.State,
    memory: Memory,
    weights: Weights,
) -> _Trace:
    length = tf.shape(projected)[0]

    def step(position: tf.Tensor, state: Any, states: Any, kept: Any) -> Any:
        state, saved, attended, context = _step(
            cell, projected[position], state, memory, weights
        )
        states = recurrent.write(states, position + 1, state)
        kept = recurrent.write(kept, position, (*saved, attended, context))
        return position + 1, state, states, kept

    wide = initial[0].dtype
    states = recurrent.arrays(cell.num_parts, wide, length + 1)
    kept = recurrent.arrays(cell.num_saved + 1, wide, length)
    kept += recurrent.arrays(1, projected.dtype, length)
    _, _, states, kept = tf.while_loop(
        lambda position, *_: position < length,
        step,
        (tf.constant(0), initial, recurrent.write(states, 0, initial), kept),
    )
    attended, contexts = recurrent.stack(kept[-2:])
    return _Trace(recurrent.stack(states), kept[:-2], attended, contexts)


class _Read(NamedTuple):
    """Gradients by what a position read, or all positions: then with T in front.

    Attributes:
        by_projected: By P, [B, G].
        by_product: By R and, beside it, by the query: [B, G + A].
        by_context: By c, [B, M].
    """

    by_projected: tf.Tensor
    by_product: tf.Tensor
    by_context: tf.Tensor


class _Shared(NamedTuple):
    """Gradients by what all positions read, of 32 bits at least.

    Attributes:
        by_keys: By W s + U h + b over v, [B, S, A].
        by_score: By v, [A].
    """

    by_keys: tf.Tensor
    by_score: tf.Tensor


def _backward(
    cell: cells.Cell,
    trace: _Trace,
    upstream: cells.State,
    memory: Memory,
    weights: Weights,
) -> tuple[tf.Tensor, ...]:
    """Returns the gradients by all that `_over_time` differentiates, in its order."""
    narrow = weights.score.dtype
    read, shared, by_initial = _backward_over_time(
        cell, trace, upstream, memory, weights
    )
    by_values = tf.matmul(
        tf.cast(tf.transpose(trace.attended, [1, 2, 0]), narrow),
        tf.transpose(read.by_context, [1, 0, 2]),
    )
    of_context = tf.matmul(
        tf.reshape(trace.contexts, [-1, memory.values.shape[2]]),
        tf.reshape(read.by_projected, [-1, weights.of_context.shape[1]]),
        transpose_a=True,
    )
    return (
        read.by_projected,
        tf.cast(shared.by_keys, narrow) * weights.score,
        by_values,
        recurrent.weight_gradient(trace.states[0], read.by_product),
        of_context,
        tf.cast(shared.by_score, narrow),
        *by_initial,
    )


def _backward_over_time(
    cell: cells.Cell,
    trace: _Trace,
    upstream: cells.State,
    memory: Memory,
    weights: Weights,
) -> tuple[_Read, _Shared, cells.State]:
    """Returns what goes back from the last position to the first, and to its state."""
    wide, narrow = trace.attended.dtype, weights.score.dtype
    length = tf.shape(trace.attended)[0]

    def step(
        position: tf.Tensor, by_state: Any, by_keys: Any, by_score: Any, found: Any
    ) -> Any:
        by_after = recurrent.add(by_state, (upstream[0][position],))
        read, shared, by_before = _step_backward(
            cell, trace, position, by_after, upstream[1][position], memory, weights
        )
        return (
            *(position - 1, by_before, by_keys + shared.by_keys),
            by_score + shared.by_score,
            recurrent.write(found, position, read),
        )

    _, by_initial, by_keys, by_score, found = tf.while_loop(
        lambda position, *_: position >= 0,
        step,
        (
            length - 1,
            tuple(tf.zeros_like(part[0]) for part in trace.states),
            tf.zeros_like(memory.keys, wide),
            tf.zeros_like(weights.score, wide),
            recurrent.arrays(len(_Read._fields), narrow, length),
        ),
    )
    return _Read(*recurrent.stack(found)), _Shared(by_keys, by_score), by_initial


def _step_backward(
    cell: cells.Cell,
    trace: _Trace,
    position: tf.Tensor,
    by_after: cells.State,
    by_output: tf.Tensor,
    memory: Memory,
    weights: Weights,
) -> tuple[_Read, _Shared, cells.State]:
    """Returns the gradients of `_step`; `by_output`, [B, M], comes from above."""
    narrow = weights.score.dtype
    width = weights.of_context.shape[1]
    before = recurrent.at(trace.states, position)
    by_projected, by_recurrent, by_before = cell.backward(
        by_after,
        recurrent.read(trace.saved, position),
        before,
        recurrent.at(trace.states, position + 1),
    )
    by_projected = tf.cast(by_projected, narrow)
    by_context = by_output + tf.matmul(
        by_projected, weights.of_context, transpose_b=True
    )
    product = tf.matmul(tf.cast(before[0], narrow), weights.of_state[:, width:])
    tanh = _tanh(memory.keys, product)
    slope, by_scores = _attention_backward(
        tanh, trace.attended[position], by_context, memory.values
    )
    by_query = tf.reduce_sum(slope, 1) * weights.score
    by_product = tf.concat([tf.cast(by_recurrent, narrow), by_query], axis=1)
    through = tf.matmul(by_product, weights.of_state, transpose_b=True)
    return (
        _Read(by_projected, by_product, by_context),
        _Shared(precision.precise(slope), _score_gradient(tanh, by_scores)),
        recurrent.add(by_before, (precision.precise(through),)),
    )


def _attention_backward(
    tanh: tf.Tensor, attended: tf.Tensor, by_context: tf.Tensor, values: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the gradient by W s + U h + b over v, [B, S, A], and by e, [B, S]."""
    by_attended = tf.matmul(values, by_context[:, :, None])[:, :, 0]
    by_attended = precision.precise(by_attended)
    mean = tf.reduce_sum(attended * by_attended, axis=1, keepdims=True)
    by_scores = attended * (by_attended - mean)
    narrow = tf.cast(by_scores, tanh.dtype)
    return (1.0 - tf.square(tanh)) * narrow[:, :, None], narrow


def _score_gradient(tanh: tf.Tensor, by_scores: tf.Tensor) -> tf.Tensor:
    """Returns the gradient by v, [A], of 32 bits at least."""
    flat = tf.reshape(tanh, [-1, tanh.shape[2]])
    by_score = tf.matmul(flat, tf.reshape(by_scores, [-1, 1]), transpose_a=True)
    return precision.precise(by_score[:, 0])
