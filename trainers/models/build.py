"""Makes the model that a config names."""

import numpy as np

from pipeline import vocabulary
from trainers.models import config as model_config
from trainers.models import transformer


def make(
    config: model_config.TransformerConfig,
    vocabularies: vocabulary.Vocabularies,
    *,
    seed: int,
) -> transformer.Transformer:
    """Returns a model with fresh weights, the same ones for the same seed."""
    return transformer.Transformer(
        config,
        src_vocab_size=vocabularies.src.size,
        tgt_vocab_size=vocabularies.tgt.size,
        shared=vocabularies.shared,
        rng=np.random.default_rng(seed),
    )
