"""Makes the model of texts to vectors that a config names."""

import numpy as np

from trainers import seq2vec_config
from trainers.models import seq2vec


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
