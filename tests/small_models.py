"""Models small enough to be tested in a second."""

import dataclasses
from typing import Any

from trainers.models import config as model_config

_SMALL = {"d_model": 16, "d_ff": 24, "num_heads": 2, "num_layers": 2}


def transformer_config(**changes: Any) -> model_config.ModelConfig:
    """Returns the config of a small Transformer, some knobs changed by name."""
    given = _SMALL | changes
    inner = {field.name for field in dataclasses.fields(model_config.TransformerConfig)}
    return model_config.ModelConfig(
        transformer=model_config.TransformerConfig(
            **{name: given.pop(name) for name in inner & given.keys()}
        ),
        **given,
    )
