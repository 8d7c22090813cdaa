"""A stack of recurrent layers over the target, with a view of the source.

T target length, B rows, D d_model, E width of embeddings. Matrices have positions
first: [T * B, D], see `recurrent.py`.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from trainers import noise
from trainers.models import (
    additive_attention,
    cells,
    layers,
    multiplicative_attention,
    recurrent,
    recurrent_encoder,
)
from trainers.models import config as model_config

States = tuple[cells.State, ...]  # of each layer


class ConditionedRecurrent(tf.Module):
    """A recurrent layer of which every step also reads one vector for its row."""

    def __init__(
        self, cell: str, inputs: int, units: int, *, rng: np.random.Generator
    ) -> None:
        """Makes the layer, for vectors of `units`."""
        super().__init__()
        self.layer = recurrent.Recurrent(cell, inputs, units, rng=rng)
        width = units * self.layer.cell.num_gates
        self.context = layers.weights(units, width, rng=rng)

    def __call__(
        self, values: tf.Tensor, initial: cells.State, context: tf.Tensor
    ) -> tf.Tensor:
        """Returns outputs, [T * B, D], for [T * B, E] and vectors, [B, D]."""
        own = self.layer.input(values)
        shaped = tf.reshape(own, [-1, tf.shape(context)[0], own.shape[1]])
        shaped += tf.matmul(context, tf.cast(self.context, context.dtype))
        return self.layer.run(tf.reshape(shaped, tf.shape(own)), initial)[0]

    def step(
        self, values: tf.Tensor, state: cells.State, context: tf.Tensor
    ) -> cells.State:
        """Returns the state after one more position, for [B, E] and [B, D]."""
        added = tf.matmul(context, tf.cast(self.context, context.dtype))
        return self.layer.step(self.layer.input(values) + added, state)


class Decoder(tf.Module):
    """Layers over the target, one of which, or what follows them, reads the source."""

    def __init__(
        self, config: model_config.ModelConfig, *, rng: np.random.Generator
    ) -> None:
        """Makes the layers."""
        super().__init__()
        asked, size = config.rnn, config.d_model
        self._kind = asked.attention
        self._residual = asked.residual
        self._rate = config.dropout_rate
        first, *others = recurrent_encoder.input_widths(config)
        self.first: Any
        if self._kind == "bahdanau":
            self.first = additive_attention.AttentiveRecurrent(
                asked.cell, first, size, size, rng=rng
            )
        elif self._kind == "none":
            self.first = ConditionedRecurrent(asked.cell, first, size, rng=rng)
        else:
            self.first = recurrent.Recurrent(asked.cell, first, size, rng=rng)
            self.attention = multiplicative_attention.MultiplicativeAttention(
                asked.luong_score, size, rng=rng
            )
        self.others = [
            recurrent.Recurrent(asked.cell, width, size, rng=rng) for width in others
        ]
        self.readout = Readout(config, rng=rng)

    def source(self, encoded: recurrent_encoder.Encoded, is_token: tf.Tensor) -> Any:
        """Returns what every position reads of the source: a nest of [B, ...].

        Args:
            encoded: From the encoder.
            is_token: Where the source is not padded, bool [B, S].
        """
        outputs = encoded.outputs
        if self._kind == "none":
            return tf.cast(encoded.lasts[-1][0], outputs.dtype)
        shaped = tf.reshape(outputs, [-1, tf.shape(is_token)[0], outputs.shape[1]])
        reads = self.first if self._kind == "bahdanau" else self.attention
        return reads.memory(tf.transpose(shaped, [1, 0, 2]), is_token)

    def __call__(
        self, stream: tf.Tensor, initial: States, source: Any, draw: noise.Noise
    ) -> list[tf.Tensor]:
        """Returns what the readout reads, [T * B, D] each.

        Args:
            stream: Embedded target input, float [T * B, E].
            initial: The state of each layer before position 0.
            source: From `source`.
            draw: Drops outputs.
        """
        contexts = []
        if self._kind == "bahdanau":
            stream, context = self.first(stream, initial[0], source)
            contexts = [context]
        elif self._kind == "none":
            stream = self.first(stream, initial[0], source)
        else:
            stream, _ = self.first(stream, initial[0])
        stream = draw.dropout(stream, self._rate, "decoder/0")
        for index, layer in enumerate(self.others, start=1):
            outputs, _ = layer(stream, initial[index])
            outputs = draw.dropout(outputs, self._rate, f"decoder/{index}")
            stream = outputs + stream if self._residual else outputs
        if self._kind == "luong":
            contexts = [self.attention(stream, source)]
        return [stream, *contexts]

    def attention_weights(
        self, stream: tf.Tensor, initial: States, source: Any
    ) -> tf.Tensor:
        """Returns what positions take from the source, [B, T, S]; not of kind `none`.

        Args:
            stream: Embedded target input, float [T * B, E].
            initial: The state of each layer before position 0.
            source: From `source`.
        """
        if self._kind == "bahdanau":
            weights: tf.Tensor = self.first.weights(stream, initial[0], source)
            return weights
        outputs, _ = self(stream, initial, source, noise.NONE)
        return self.attention.weights(outputs, source)

    def step(
        self, stream: tf.Tensor, states: States, source: Any
    ) -> tuple[list[tf.Tensor], States]:
        """Returns the same for one more position, [B, E], and the states after it."""
        dtype, contexts = stream.dtype, []
        if self._kind == "bahdanau":
            first, context = self.first.step(stream, states[0], source)
            contexts = [context]
        elif self._kind == "none":
            first = self.first.step(stream, states[0], source)
        else:
            first = self.first.step(self.first.input(stream), states[0])
        found = [first]
        stream = tf.cast(first[0], dtype)
        for layer, state in zip(self.others, states[1:], strict=True):
            found.append(layer.step(layer.input(stream), state))
            output = tf.cast(found[-1][0], dtype)
            stream = output + stream if self._residual else output
        if self._kind == "luong":
            contexts = [self.attention(stream, source)]
        return [stream, *contexts], tuple(found)


class Readout(tf.Module):
    """From what the last layer says, and the context if any, to the embedding's width.

    With a context tanh(W [s; c]) comes first: Luong et al. 2015, equation 5.
    """

    def __init__(
        self, config: model_config.ModelConfig, *, rng: np.random.Generator
    ) -> None:
        """Makes the layers."""
        super().__init__()
        size = config.d_model
        if config.rnn.attention != "none":
            self.joined = layers.Dense(2 * size, size, rng=rng)
        width = recurrent_encoder.embedding_width(config)
        self.output = layers.Dense(size, width, rng=rng)

    def __call__(self, read: list[tf.Tensor]) -> tf.Tensor:
        """Returns float [N, E] for one or two of [N, D]."""
        hidden = read[0]
        if len(read) > 1:
            hidden = tf.tanh(self.joined(tf.concat(read, axis=1)))
        return self.output(hidden)
