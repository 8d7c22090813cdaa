"""Models small enough to be tested in a second."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from pipeline import manifest, vocabulary
from trainers import naming
from trainers.models import config as model_config
from trainers.models import transformer

_SMALL = {"d_model": 16, "d_ff": 24, "num_heads": 2, "num_layers": 2}


def transformer_config(**changes: Any) -> model_config.ModelConfig:
    """Returns the config of a small Transformer, some knobs changed by name."""
    return config("transformer", **changes)


def config(model: str, **changes: Any) -> model_config.ModelConfig:
    """Returns the config of a small model, some knobs changed by name."""
    given = _SMALL | changes
    inner = {}
    kinds = {
        "transformer": model_config.TransformerConfig,
        "rnn": model_config.RnnConfig,
    }
    for name, kind in kinds.items():
        own = {field.name for field in dataclasses.fields(kind)} & given.keys()
        inner[name] = kind(**{field: given.pop(field) for field in own})
    return model_config.ModelConfig(model=model, **inner, **given)


def vocabularies(data_dir: pathlib.Path) -> vocabulary.Vocabularies:
    """Returns the vocabularies of a data directory."""
    return vocabulary.load(data_dir, manifest.read(data_dir).pair_vocabularies())


def decisive_transformer(
    both: vocabulary.Vocabularies, *, strength: float = 4, **changes: Any
) -> transformer.Transformer:
    """Returns a Transformer that says much, with weights of no special value.

    Args:
        both: The vocabularies.
        strength: What kernels are multiplied by; at 1 the model repeats itself.
        **changes: Knobs by name.
    """
    model = transformer.Transformer(
        transformer_config(**changes),
        src_vocab_size=both.src.size,
        tgt_vocab_size=both.tgt.size,
        shared=both.shared,
        rng=np.random.default_rng(3),
    )
    rng = np.random.default_rng(4)
    for name, variable in naming.variables(model).items():
        if name.endswith("kernel"):
            variable.assign(variable * strength)
        elif not name.endswith("vectors"):
            variable.assign_add(rng.normal(0.0, 0.3, variable.shape))
    return model
