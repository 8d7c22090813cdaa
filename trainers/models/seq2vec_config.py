"""What a model of texts to vectors is made of, apart from TensorFlow."""

import dataclasses

from pipeline import knobs
from trainers.models import config as model_config

_OF_HEADS = {
    "classes": ("head_units", "head_dropout_rate", "class_weights"),
    "embedding": ("temperature", "encoders"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Encoder."""

    model: str = knobs.knob(
        "transformer",
        "What reads the text: self-attention, or LSTM or GRU layers in both "
        "directions, with half the units for each.",
        choices=("transformer", "bilstm", "bigru"),
    )
    d_model: int = knobs.knob(128, "Width of the encoder, in units.")
    num_layers: int = knobs.knob(2, "Layers of the encoder.")
    dropout_rate: float = knobs.knob(
        0.1, "Share of embeddings and layer outputs dropped, in steps of 1/256."
    )
    word_dropout: float = knobs.knob(
        0.0, "Share of subwords read as unknown ones while training, in steps of 1/256."
    )
    transformer: model_config.TransformerConfig = dataclasses.field(
        default_factory=model_config.TransformerConfig
    )

    def __post_init__(self) -> None:
        """Raises ValueError for sizes and shares that cannot be."""
        self.layers  # noqa: B018 - refuses sizes that do not fit together
        for name, none in (("decoder_layers", 0), ("tied_embeddings", "auto")):
            if (asked := getattr(self.transformer, name)) != none:
                raise ValueError(f"--{name}={asked}: there is no decoder here")
        if self.transformer.positions == "rotary_all":
            raise ValueError(
                "--positions=rotary_all: there is no decoder here; use rotary"
            )
        knobs.require_in(self, model_config.DROPOUT_RATES, "word_dropout")

    @property
    def layers(self) -> model_config.ModelConfig:
        """The same for the layers that translation models have too.

        Raises:
            ValueError: If sizes do not fit together.
        """
        return model_config.ModelConfig(
            d_model=self.d_model,
            num_layers=self.num_layers,
            dropout_rate=self.dropout_rate,
            transformer=self.transformer,
            rnn=model_config.RnnConfig(cell=self.model.removeprefix("bi"))
            if self.model != "transformer"
            else model_config.RnnConfig(),
            model="transformer" if self.model == "transformer" else "rnn",
        )

    def without_effect(self) -> list[str]:
        """Returns the flags that were given and that this encoder does not read."""
        read = self.transformer.read if self.model == "transformer" else ()
        return knobs.given_beside(self.transformer, read)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """From the encoder's positions to the answer."""

    pooling: str = knobs.knob(
        "mean",
        "How positions become one vector: their mean or maximum; the last state, which "
        "is that of EOS, or of both directions where there are two; that of a token "
        "set before the text; or a mean with learned weights.",
        choices=("mean", "max", "last", "cls", "attention"),
    )
    head: str = knobs.knob(
        "classes",
        "What the vector is for: classes, of data with labels; or to be near that of "
        "the other side (embedding), of data with pairs.",
        choices=("classes", "embedding"),
    )
    temperature: float = knobs.knob(
        0.05,
        "Of --head=embedding: what cosines are divided by before the softmax.",
    )
    encoders: str = knobs.knob(
        "auto",
        "Of --head=embedding: one for both sides, or two; auto: one where they share a "
        "vocabulary.",
        choices=("auto", "one", "two"),
    )
    head_units: int = knobs.knob(
        0,
        "Width of a dense ReLU layer after it, a multiple of 8; 0 for none.",
    )
    head_dropout_rate: float = knobs.knob(
        0.1,
        "Of --head=classes: share of the vector, and of that layer's output, dropped.",
    )
    class_weights: str = knobs.knob(
        "none",
        "What a text counts in the loss: all the same, or less where its class is "
        "frequent.",
        choices=("none", "balanced"),
    )

    def __post_init__(self) -> None:
        """Raises ValueError for sizes and shares that cannot be."""
        if self.head_units < 0 or self.head_units % 8:
            raise ValueError(
                f"--head_units={self.head_units} must be a multiple of 8, or 0"
            )
        knobs.require_positive(self, "temperature")
        other = "embedding" if self.head == "classes" else "classes"
        knobs.refuse_without_effect(self, _OF_HEADS[other], f"--head={other}")
        knobs.require_in(self, model_config.DROPOUT_RATES, "head_dropout_rate")
