"""Models small enough to be tested in a second."""

import dataclasses
from typing import Any

from trainers.models import config as model_config

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
