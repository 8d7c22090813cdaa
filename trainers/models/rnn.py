"""Recurrent encoder and decoder, with attention or without.

    attention  the decoder reads, beside the embedding of the last subword
    none       the encoder's last state, at every step of its first layer: Cho et al.
               2014, https://arxiv.org/abs/1406.1078, section 2.2
    bahdanau   what its first layer attends to before each step: see
               `additive_attention.py`; the layers above run over the first one's output
    luong      nothing: it attends after its last layer, see
               `multiplicative_attention.py`

With attention, a readout joins the last layer's output s and the context c before the
embedding is turned round: tanh(W [s; c]), Luong et al. 2015, equation 5. Dropout is
between layers and never between positions: Zaremba et al. 2014,
https://arxiv.org/abs/1409.2329.

B rows, S source length, T target length, D d_model, E width of embeddings, V
vocabulary. Matrices have positions first: [T * B, D], see `recurrent.py`.
"""

import numpy as np
import tensorflow as tf

from pipeline import batching, vocabulary
from trainers import losses, noise
from trainers.decoding import decoder
from trainers.models import (
    cells,
    layers,
    recurrent_decoder,
    recurrent_encoder,
    scheduled_sampling,
    seq2seq_model,
)
from trainers.models import config as model_config


class Bridge(tf.Module):
    """From the last states of the encoder to the first ones of the decoder.

    A dense layer for each, with tanh for what is one (Bahdanau et al. 2015, section
    A.2.2) and without for the LSTM's content, which has no bounds.
    """

    def __init__(
        self, config: model_config.ModelConfig, *, rng: np.random.Generator
    ) -> None:
        """Makes the dense layers, if any."""
        super().__init__()
        self._kind = config.rnn.bridge
        if self._kind == "dense":
            size, parts = config.d_model, cells.BY_NAME[config.rnn.cell].num_parts
            self.layers = [
                [layers.Dense(size, size, rng=rng) for _ in range(parts)]
                for _ in range(config.num_layers)
            ]

    def __call__(self, lasts: recurrent_decoder.States) -> recurrent_decoder.States:
        """Returns a state for each layer, [B, D] each."""
        if self._kind == "copy":
            return lasts
        if self._kind == "zero":
            zeros: recurrent_decoder.States = tf.nest.map_structure(
                tf.zeros_like, lasts
            )
            return zeros
        initial = []
        for dense, last in zip(self.layers, lasts, strict=True):
            output, *rest = (d(part) for d, part in zip(dense, last, strict=True))
            initial.append((tf.tanh(output), *rest))
        return tuple(initial)


class Rnn(seq2seq_model.Seq2SeqModel):
    """Encoder and decoder over subwords; the output layer is the target embedding.

    Attributes:
        sampling_probability: Of scheduled sampling, float32 []; may be assigned while
            a run goes on. Only there if the config has one above 0.
    """

    def __init__(
        self,
        config: model_config.ModelConfig,
        *,
        src_vocab_size: int,
        tgt_vocab_size: int,
        shared: bool,
        rng: np.random.Generator,
        dtype: str = "float32",
    ) -> None:
        """Makes the model.

        Args:
            config: Sizes.
            src_vocab_size: Number of source subwords.
            tgt_vocab_size: Number of target subwords.
            shared: Whether both sides have one vocabulary, and so one embedding.
            rng: Draws the initial weights.
            dtype: What it computes in; its weights are float32.
        """
        super().__init__(config)
        self._dtype = tf.as_dtype(dtype)
        width = recurrent_encoder.embedding_width(config)
        self.tgt_embedding = layers.Embedding(tgt_vocab_size, width, rng=rng)
        self.src_embedding = self.tgt_embedding
        if not shared:
            self.src_embedding = layers.Embedding(src_vocab_size, width, rng=rng)
        self.encoder = recurrent_encoder.Encoder(config, rng=rng)
        self.bridge = Bridge(config, rng=rng)
        self.decoder = recurrent_decoder.Decoder(config, rng=rng)
        if config.rnn.sampling_probability:
            self.sampling_probability = tf.Variable(
                config.rnn.sampling_probability, trainable=False
            )

    def outputs(self, batch: batching.Batch, draw: noise.Noise) -> losses.Outputs:
        """Returns what is said of the real target tokens of a batch."""
        draw = draw.positions_first(tf.shape(batch.src_ids)[0])
        start = self._start(batch.src_ids, draw)
        tgt_in_ids = self._inputs(batch, draw)
        stream = self._embed(self.tgt_embedding, tgt_in_ids, draw, "tgt_embedding")
        read = self.decoder(stream, start.prefix, start.source, draw)
        flat = tf.reshape(tf.transpose(batch.tgt_out_ids), [-1])  # positions first
        real = tf.where(flat != vocabulary.PAD_ID)[:, 0]
        return losses.Outputs(
            self.decoder.readout([tf.gather(part, real) for part in read]),
            tf.convert_to_tensor(self.tgt_embedding.vectors),
            tf.gather(flat, real),
            num_subwords=self.tgt_embedding.size,
        )

    def start(self, src_ids: tf.Tensor) -> decoder.State:
        """Returns the state before the first target position, for int32 [B, S]."""
        return self._start(src_ids, noise.NONE)

    def next_logits(
        self, tgt_ids: tf.Tensor, state: decoder.State
    ) -> tuple[tf.Tensor, decoder.State]:
        """Returns scores of what follows, [N, V], for the last ids, int32 [N]."""
        stream = tf.cast(self.tgt_embedding(tgt_ids), self._dtype)
        source = decoder.for_each_prefix(state)
        read, states = self.decoder.step(stream, state.prefix, source)
        logits = self.tgt_embedding.logits(self.decoder.readout(read))
        return logits, state._replace(prefix=states)

    def _start(self, src_ids: tf.Tensor, draw: noise.Noise) -> decoder.State:
        stream = self._embed(self.src_embedding, src_ids, draw, "src_embedding")
        encoded = self.encoder(stream, recurrent_encoder.lengths(src_ids), draw)
        is_token = src_ids != vocabulary.PAD_ID
        return decoder.State(
            prefix=self.bridge(encoded.lasts),
            source=self.decoder.source(encoded, is_token),
        )

    def _inputs(self, batch: batching.Batch, draw: noise.Noise) -> tf.Tensor:
        """Returns what the decoder reads, int32 [B, T]: references, and guesses."""
        asked = self._config.rnn
        if not asked.sampling_probability or draw is noise.NONE:
            return batch.tgt_in_ids
        return scheduled_sampling.mixed(
            self,
            batch.src_ids,
            batch.tgt_in_ids,
            probability=scheduled_sampling.risen(
                tf.convert_to_tensor(self.sampling_probability),
                asked.sampling_warmup_steps,
                draw,
            ),
            draw=draw,
        )

    def _embed(
        self, embedding: layers.Embedding, ids: tf.Tensor, draw: noise.Noise, place: str
    ) -> tf.Tensor:
        """Returns embeddings, positions first, [T * B, E], for int32 [B, T]."""
        stream = recurrent_encoder.embed(embedding, ids, self._dtype)
        return draw.dropout(stream, self._config.dropout_rate, place)


class AttentiveRnn(Rnn):
    """One with attention, which can be read off it."""

    def attention_weights(self, batch: batching.Batch) -> tf.Tensor:
        """Returns what each target position takes from the source.

        Position t is the one that `tgt_out_ids[:, t]` is said from.

        Returns:
            Weights that sum to 1 over S, float32 [1, B, 1, T, S].
        """
        start = self.start(batch.src_ids)
        stream = recurrent_encoder.embed(
            self.tgt_embedding, batch.tgt_in_ids, self._dtype
        )
        weights = self.decoder.attention_weights(stream, start.prefix, start.source)
        return tf.cast(weights, tf.float32)[None, :, None]
