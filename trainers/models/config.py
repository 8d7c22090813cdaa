"""What a model is made of, apart from TensorFlow so that flags parse without it."""

import dataclasses

from pipeline import knobs


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Transformer."""

    d_model: int = knobs.knob(256, "Width of the residual stream, in units.")
    d_ff: int = knobs.knob(1024, "Width of the feed-forward layers, in units.")
    num_heads: int = knobs.knob(4, "Attention heads; they share d_model.")
    num_layers: int = knobs.knob(3, "Layers of the encoder, and of the decoder.")
    dropout_rate: float = knobs.knob(
        0.1, "Share of embeddings and layer outputs dropped, in steps of 1/256."
    )
    norm: str = knobs.knob(
        "pre",
        "Normalises the input of each sublayer (pre) or the sum after it (post, as in "
        "the paper; wants a longer warm-up).",
        choices=("pre", "post"),
    )

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that do not fit together."""
        for name in ("d_model", "d_ff", "num_heads", "num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"--{name} must be positive, got {getattr(self, name)}"
                )
        if self.d_model % self.num_heads or self.d_model % 8:
            raise ValueError(
                f"--d_model={self.d_model} must be a multiple of 8 and of "
                f"--num_heads={self.num_heads}"
            )
        if not 0 <= self.dropout_rate <= 0.99:
            raise ValueError(
                f"--dropout_rate must be in [0, 0.99], got {self.dropout_rate}"
            )
