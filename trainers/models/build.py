"""Makes the model that a config names."""

import numpy as np
import tensorflow as tf

from pipeline import exits, vocabulary
from trainers import config
from trainers.models import transformer


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
        return transformer.Transformer(
            asked.model,
            src_vocab_size=vocabularies.src.size,
            tgt_vocab_size=vocabularies.tgt.size,
            shared=vocabularies.shared,
            rng=np.random.default_rng(asked.run.seed),
            dtype=dtype,
        )
    except ValueError as error:
        raise exits.Refusal(exits.USAGE, str(error)) from None
