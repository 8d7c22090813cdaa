"""The Transformer: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.

B rows, S source length, T target length, D d_model, H heads, V vocabulary. Inside, all
positions of a batch are one matrix [B * T, D].
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline import batching, vocabulary
from trainers import losses, noise
from trainers.decoding import decoder
from trainers.models import attention, layers, seq2seq_model, transformer_layers
from trainers.models import config as model_config


class Memory(NamedTuple):
    """What decoding knows of the source.

    Attributes:
        layers: Keys and values, one a layer, [B, H, S, D/H].
        mask: Hides the padding, [B, 1, 1, S].
    """

    layers: tuple[attention.KeysValues, ...]
    mask: tf.Tensor


class Transformer(seq2seq_model.Seq2SeqModel):
    """Encoder and decoder over subwords."""

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
            shared: Whether both sides have one vocabulary, and so may have one
                embedding (section 3.4).
            rng: Draws the initial weights.
            dtype: What it computes in; its weights are float32.

        Raises:
            ValueError: If embeddings of two vocabularies are to be one.
        """
        super().__init__(config)
        self._dtype = tf.as_dtype(dtype)
        self._pre = config.transformer.norm == "pre"
        ties = _ties(config.transformer.tied_embeddings, shared=shared)
        self._make_embeddings(ties, src_vocab_size, tgt_vocab_size, rng)
        self._is_rotary = config.transformer.is_rotary
        self.src_positions = self.tgt_positions = None
        if config.transformer.positions == "learned":
            count = config.transformer.max_positions
            self.src_positions = layers.Positions(count, config.d_model, rng=rng)
            self.tgt_positions = layers.Positions(count, config.d_model, rng=rng)
        depth = config.transformer.encoder_layers or config.num_layers
        self.encoder = [
            transformer_layers.EncoderLayer(config, rng=rng) for _ in range(depth)
        ]
        depth = config.transformer.decoder_layers or config.num_layers
        self.decoder = [
            transformer_layers.DecoderLayer(config, rng=rng) for _ in range(depth)
        ]
        if self._pre:
            self.encoder_norm = layers.LayerNorm(config.d_model)
            self.decoder_norm = layers.LayerNorm(config.d_model)

    def _make_embeddings(
        self,
        ties: "_Ties",
        src_vocab_size: int,
        tgt_vocab_size: int,
        rng: np.random.Generator,
    ) -> None:
        width = self._config.d_model
        self.tgt_embedding = layers.Embedding(tgt_vocab_size, width, rng=rng)
        self.src_embedding = self._output = self.tgt_embedding
        if not ties.source:
            self.src_embedding = layers.Embedding(src_vocab_size, width, rng=rng)
        if not ties.output:
            self.output_embedding = layers.Embedding(tgt_vocab_size, width, rng=rng)
            self._output = self.output_embedding

    def outputs(self, batch: batching.Batch, draw: noise.Noise) -> losses.Outputs:
        """Returns what is said of the real target tokens of a batch."""
        hidden = self._hidden(batch, draw)
        flat = tf.reshape(batch.tgt_out_ids, [-1])
        real = tf.where(flat != vocabulary.PAD_ID)[:, 0]
        return losses.Outputs(
            tf.gather(hidden, real),
            tf.convert_to_tensor(self._output.vectors),
            tf.gather(flat, real),
            num_subwords=self._output.size,
        )

    def start(self, src_ids: tf.Tensor) -> decoder.State:
        """Returns the state before the first target position, for int32 [B, S].

        The source's part is a `Memory`; the prefixes' part is the keys and values of
        the positions so far, one a layer, [N, H, t, D/H].
        """
        num_rows = tf.shape(src_ids)[0]
        encoded, mask = self._encode(src_ids, noise.NONE)
        heads = self._config.transformer.num_heads
        size = self._config.d_model // heads
        nothing = tf.zeros([num_rows, heads, 0, size], self._dtype)
        memory = tuple(
            layer.source_attention.memory(encoded, num_rows) for layer in self.decoder
        )
        return decoder.State(
            source=Memory(memory, mask),
            prefix=tuple(attention.KeysValues(nothing, nothing) for _ in self.decoder),
        )

    def next_logits(
        self, tgt_ids: tf.Tensor, state: decoder.State
    ) -> tuple[tf.Tensor, decoder.State]:
        """Returns scores of what follows, [N, V], for the last ids, int32 [N].

        All prefixes of a source attend to its one memory, as positions of one row.
        """
        memory: Memory = state.source
        position = tf.shape(state.prefix[0].keys)[2]
        stream = self.tgt_embedding(tgt_ids)
        if not self._is_rotary:
            stream += transformer_layers.positions_from(
                self.tgt_positions, position, tf.constant(1), stream
            )
        stream = tf.cast(stream, self._dtype)
        prefix = []
        for layer, old, source in zip(
            self.decoder, state.prefix, memory.layers, strict=True
        ):
            stream, new = layer.next(stream, old, source, memory.mask)
            prefix.append(new)
        if self._pre:
            stream = self.decoder_norm(stream)
        logits = self._output.logits(stream)
        return logits, state._replace(prefix=tuple(prefix))

    def attention_weights(self, batch: batching.Batch) -> tf.Tensor:
        """Returns what each target position takes from the source.

        Position t is the one that `tgt_out_ids[:, t]` is said from.

        Returns:
            Weights that sum to 1 over S, float32 [layers, B, H, T, S].
        """
        encoded, mask = self._encode(batch.src_ids, noise.NONE)
        num_rows, length = tf.unstack(tf.shape(batch.tgt_in_ids))
        stream = self._embed("tgt", batch.tgt_in_ids, noise.NONE)
        causal = attention.causal_mask(length)
        found = []
        for layer in self.decoder:
            memory = layer.source_attention.memory(encoded, num_rows)
            stream, weights = layer.with_weights(stream, memory, causal, mask)
            found.append(tf.cast(weights, tf.float32))
        return tf.stack(found)

    def _hidden(self, batch: batching.Batch, draw: noise.Noise) -> tf.Tensor:
        """Returns the decoder's output, float [B * T, D]."""
        encoded, mask = self._encode(batch.src_ids, draw)
        num_rows, length = tf.unstack(tf.shape(batch.tgt_in_ids))
        stream = self._embed("tgt", batch.tgt_in_ids, draw)
        causal = attention.causal_mask(length)
        for index, layer in enumerate(self.decoder):
            memory = layer.source_attention.memory(encoded, num_rows)
            stream = layer(stream, memory, causal, mask, draw, f"decoder/{index}")
        return self.decoder_norm(stream) if self._pre else stream

    def _encode(
        self, src_ids: tf.Tensor, draw: noise.Noise
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the encoder's output, [B * S, D], and the mask of its padding."""
        num_rows = tf.shape(src_ids)[0]
        mask = attention.padding_mask(src_ids != vocabulary.PAD_ID)
        stream = self._embed("src", src_ids, draw)
        for index, layer in enumerate(self.encoder):
            stream = layer(stream, num_rows, mask, draw, f"encoder/{index}")
        if self._pre:
            stream = self.encoder_norm(stream)
        return stream, mask

    def _embed(self, side: str, ids: tf.Tensor, draw: noise.Noise) -> tf.Tensor:
        is_src = side == "src"
        return transformer_layers.embed(
            self.src_embedding if is_src else self.tgt_embedding,
            ids,
            self._config.dropout_rate,
            draw,
            f"{side}_embedding",
            positions=self.src_positions if is_src else self.tgt_positions,
            is_rotary=self._is_rotary,
            dtype=self._dtype,
        )


class _Ties(NamedTuple):
    """Which embeddings are that of the target."""

    source: bool
    output: bool


def _ties(asked: str, *, shared: bool) -> _Ties:
    if asked == "auto":
        return _Ties(source=shared, output=True)
    if asked in ("all", "input") and not shared:
        raise ValueError(
            f"--tied_embeddings={asked} needs one vocabulary for both sides: "
            "preprocess with --shared_vocab, or use auto"
        )
    return _Ties(source=asked in ("all", "input"), output=asked in ("all", "output"))
