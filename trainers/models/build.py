"""Makes the model that a config names."""

import numpy as np
import tensorflow as tf

from pipeline import exits, vocabulary
from trainers import config
from trainers.models import config as model_config
from trainers.models import repeat_vector, rnn, transformer


def make(
    asked: config.Seq2SeqConfig,
    vocabularies: vocabulary.Vocabularies,
    dtype: str = "float32",
) -> tf.Module:
    """Returns a model with fresh weights, the same ones for the same seed.

    Args:
        asked: The config.
        vocabularies: Of the data.
        dtype: What it computes in; its weights are float32.

    Raises:
        exits.Refusal: If the model cannot be made.
    """
    if asked.model.keras_model is not None:
        # Keras takes a second to import, and only such runs need it.
        from trainers.models import keras_adapter

        return keras_adapter.load(asked.model.keras_model, vocabularies, asked.run.seed)
    try:
        return sized(
            asked.model,
            src_vocab_size=vocabularies.src.size,
            tgt_vocab_size=vocabularies.tgt.size,
            shared=vocabularies.shared,
            rng=np.random.default_rng(asked.run.seed),
            dtype=dtype,
        )
    except ValueError as error:
        raise exits.Refusal(exits.USAGE, str(error)) from None


def sized(
    asked: model_config.ModelConfig,
    *,
    src_vocab_size: int,
    tgt_vocab_size: int,
    shared: bool,
    rng: np.random.Generator,
    dtype: str = "float32",
) -> tf.Module:
    """Returns a model of ours for vocabularies of some sizes.

    Args:
        asked: Sizes, and which model; not one of Keras.
        src_vocab_size: Number of source subwords.
        tgt_vocab_size: Number of target subwords.
        shared: Whether both sides have one vocabulary.
        rng: Draws the initial weights.
        dtype: What it computes in.

    Raises:
        ValueError: If it cannot be had.
    """
    if asked.model == "repeat_vector":
        return repeat_vector.RepeatVector(
            asked,
            src_vocab_size=src_vocab_size,
            tgt_vocab_size=tgt_vocab_size,
            rng=rng,
            dtype=dtype,
        )
    if asked.model == "rnn":
        _check_ties(asked.transformer.tied_embeddings, shared=shared)
    recurrent = rnn.AttentiveRnn if asked.is_attentive else rnn.Rnn
    return {"rnn": recurrent, "transformer": transformer.Transformer}[asked.model](
        asked,
        src_vocab_size=src_vocab_size,
        tgt_vocab_size=tgt_vocab_size,
        shared=shared,
        rng=rng,
        dtype=dtype,
    )


def _check_ties(asked: str, *, shared: bool) -> None:
    """Raises ValueError for ties of embeddings that recurrent models do not have."""
    has = "all" if shared else "output"
    if asked not in ("auto", has):
        raise ValueError(
            f"--tied_embeddings={asked} is not for --model=rnn, which has {has} with "
            f"{'one vocabulary' if shared else 'two vocabularies'}; leave the flag out"
        )
