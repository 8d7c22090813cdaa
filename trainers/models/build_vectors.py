"""Makes the model of texts to vectors that a config names."""

import numpy as np

from pipeline import exits, vocabulary
from trainers import seq2vec_config
from trainers.models import seq2vec, text_pairs


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


def pairs(
    asked: seq2vec_config.Seq2VecConfig,
    vocabularies: vocabulary.Vocabularies,
    dtype: str = "float32",
) -> text_pairs.TextPairs:
    """Returns a model of pairs of texts with fresh weights, the same for one seed.

    Raises:
        exits.Refusal: If one encoder is to read two vocabularies.
    """
    if asked.head.encoders == "one" and not vocabularies.shared:
        raise exits.Refusal(
            exits.USAGE,
            "--encoders=one: the sides have vocabularies of their own; build the data "
            "with --shared_vocab, or use two",
        )
    return text_pairs.TextPairs(
        asked.model,
        asked.head,
        src_vocab_size=vocabularies.src.size,
        tgt_vocab_size=vocabularies.tgt.size,
        shared=vocabularies.shared and asked.head.encoders != "two",
        rng=np.random.default_rng(asked.run.seed),
        dtype=dtype,
    )
