"""The baseline of tutorials: stacked LSTMs, RepeatVector, TimeDistributed(Dense).

The encoder's last state, repeated for every target position, is all that the decoder
reads: Cho et al. 2014, https://arxiv.org/abs/1406.1078, without the target. Positions
are independent of what was said before them, so a hypothesis is the best subword of
each, cut at EOS; a beam would find the same and is refused.

B rows, S source length, T target length, D d_model, V vocabulary. Matrices have
positions first: [T * B, D], see `recurrent.py`.
"""

import numpy as np
import tensorflow as tf

from pipeline import batching, vocabulary
from trainers import losses, noise
from trainers.decoding import decoder
from trainers.models import config as model_config
from trainers.models import layers, recurrent, recurrent_encoder, seq2seq_model


class RepeatVector(seq2seq_model.Seq2SeqModel):
    """Encoder, the same vector at every position, decoder."""

    def __init__(
        self,
        config: model_config.ModelConfig,
        *,
        src_vocab_size: int,
        tgt_vocab_size: int,
        rng: np.random.Generator,
        dtype: str = "float32",
    ) -> None:
        """Makes the model.

        Args:
            config: Sizes.
            src_vocab_size: Number of source subwords.
            tgt_vocab_size: Number of target subwords.
            rng: Draws the initial weights.
            dtype: What it computes in; its weights are float32.
        """
        super().__init__(config)
        self._dtype = tf.as_dtype(dtype)
        width = recurrent_encoder.embedding_width(config)
        self.src_embedding = layers.Embedding(src_vocab_size, width, rng=rng)
        self.encoder = recurrent_encoder.Encoder(config, rng=rng)
        self.decoder = [
            recurrent.Recurrent(
                config.rnn.cell, config.d_model, config.d_model, rng=rng
            )
            for _ in range(config.num_layers)
        ]
        self.output = layers.Embedding(tgt_vocab_size, config.d_model, rng=rng)

    def outputs(self, batch: batching.Batch, draw: noise.Noise) -> losses.Outputs:
        """Returns what is said of the real target tokens of a batch."""
        draw = draw.positions_first(tf.shape(batch.src_ids)[0])
        start = self._start(batch.src_ids, draw)
        length = tf.shape(batch.tgt_out_ids)[1]
        rate = self._config.dropout_rate
        # The product of the one vector is repeated, and not the vector.
        projected = tf.tile(self.decoder[0].input(start.source), [length, 1])
        stream, _ = self.decoder[0].run(projected, start.prefix[0])
        stream = draw.dropout(stream, rate, "decoder/0")
        for index, layer in enumerate(self.decoder[1:], start=1):
            outputs, _ = layer(stream, start.prefix[index])
            outputs = draw.dropout(outputs, rate, f"decoder/{index}")
            stream = outputs + stream if self._config.rnn.residual else outputs
        flat = tf.reshape(tf.transpose(batch.tgt_out_ids), [-1])  # positions first
        real = tf.where(flat != vocabulary.PAD_ID)[:, 0]
        return losses.Outputs(
            tf.gather(stream, real),
            tf.convert_to_tensor(self.output.vectors),
            tf.gather(flat, real),
            num_subwords=self.output.size,
        )

    def start(self, src_ids: tf.Tensor) -> decoder.State:
        """Returns the state before the first target position, for int32 [B, S]."""
        return self._start(src_ids, noise.NONE)

    def next_logits(
        self, tgt_ids: tf.Tensor, state: decoder.State
    ) -> tuple[tf.Tensor, decoder.State]:
        """Returns scores of what follows, [N, V]; the last ids do not count."""
        del tgt_ids
        stream, found = decoder.for_each_prefix(state), []
        for index, (layer, old) in enumerate(
            zip(self.decoder, state.prefix, strict=True)
        ):
            found.append(layer.step(layer.input(stream), old))
            output = tf.cast(found[-1][0], self._dtype)
            stream = output + stream if self._config.rnn.residual and index else output
        return self.output.logits(stream), state._replace(prefix=tuple(found))

    def _start(self, src_ids: tf.Tensor, draw: noise.Noise) -> decoder.State:
        stream = recurrent_encoder.embed(self.src_embedding, src_ids, self._dtype)
        stream = draw.dropout(stream, self._config.dropout_rate, "src_embedding")
        encoded = self.encoder(stream, recurrent_encoder.lengths(src_ids), draw)
        num_rows = tf.shape(src_ids)[0]
        return decoder.State(
            prefix=tuple(
                layer.zero_state(num_rows, self._dtype) for layer in self.decoder
            ),
            source=tf.cast(encoded.lasts[-1][0], self._dtype),
        )
