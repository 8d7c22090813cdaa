"""Makes the model that a config names."""

import numpy as np
import tensorflow as tf

from pipeline import exits, vocabulary
from trainers import config, seq2vec_config
from trainers.models import seq2vec, transformer


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


def classifier(
    asked: seq2vec_config.Seq2VecConfig,
    vocab_size: int,
    num_classes: int,
    class_weights: np.ndarray | None = None,
    dtype: str = "float32",
) -> seq2vec.Classifier:
    """Returns a classifier with fresh weights, the same ones for the same seed.

    Args:
        asked: The config.
        vocab_size: Number of subwords.
        num_classes: C.
        class_weights: What a text of each class counts in the loss, [C].
        dtype: What its encoder computes in; its weights are float32.
    """
    return seq2vec.Classifier(
        asked.model,
        asked.head,
        vocab_size=vocab_size,
        num_classes=num_classes,
        class_weights=class_weights,
        rng=np.random.default_rng(asked.run.seed),
        dtype=dtype,
    )
