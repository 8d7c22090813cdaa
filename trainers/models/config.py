"""What a model is made of, apart from TensorFlow so that flags parse without it."""

import dataclasses

from pipeline import knobs

DROPOUT_RATES = "[0, 0.99]"  # beyond, nothing is left to learn from
_OF_RECURRENT_LAYERS = {"cell", "embedding_dim", "bidirectional", "residual"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Transformer."""

    d_ff: int = knobs.knob(1024, "Width of the feed-forward layers, in units.")
    num_heads: int = knobs.knob(4, "Attention heads; they share d_model.")
    norm: str = knobs.knob(
        "pre",
        "Normalises the input of each sublayer (pre) or the sum after it (post, as in "
        "the paper; wants a longer warm-up).",
        choices=("pre", "post"),
    )
    encoder_layers: int = knobs.knob(0, "Layers of the encoder; 0 for --num_layers.")
    decoder_layers: int = knobs.knob(
        0, "Layers of the decoder; 0 for --num_layers. Fewer decode faster."
    )
    positions: str = knobs.knob(
        "sinusoidal",
        "Added to the embeddings, fixed (sinusoidal) or learned; or rotary: queries "
        "and keys are turned by their position. rotary_all: in attention to the "
        "source, too, for sides that run in step, as letters and phonemes do.",
        choices=("sinusoidal", "learned", "rotary", "rotary_all"),
    )
    max_positions: int = knobs.knob(
        1024, "With --positions=learned: what is longer shares the last one."
    )
    activation: str = knobs.knob(
        "relu",
        "Of the feed-forward layers; swiglu has half as many weights again.",
        choices=("relu", "gelu", "swiglu"),
    )
    tied_embeddings: str = knobs.knob(
        "auto",
        "Which embeddings are one: of source, target and output (all), of target and "
        "output, of source and target (input), or none. auto: all where both sides "
        "have one vocabulary, else target and output.",
        choices=("auto", "all", "output", "input", "none"),
    )
    attention_dropout_rate: float = knobs.knob(
        0.0, "Share of attention weights dropped, in steps of 1/256."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for sizes and rates that cannot be."""
        knobs.require_positive(self, "d_ff", "num_heads", "max_positions")
        knobs.require_at_least(self, 0, "encoder_layers", "decoder_layers")
        knobs.require_in(self, DROPOUT_RATES, "attention_dropout_rate")

    @property
    def is_rotary(self) -> bool:
        """Whether positions are in queries and keys, and nothing is added."""
        return self.positions in ("rotary", "rotary_all")

    @property
    def read(self) -> set[str]:
        """The names of the knobs that a Transformer made of these reads."""
        read = knobs.names(self)
        if self.positions != "learned":
            read.remove("max_positions")
        return read


@dataclasses.dataclass(frozen=True, kw_only=True)
class RnnConfig:
    """Recurrent model."""

    cell: str = knobs.knob("lstm", "Kind of recurrent layer.", choices=("lstm", "gru"))
    embedding_dim: int = knobs.knob(
        0, "Width of the embeddings, in units, a multiple of 8; 0 for d_model."
    )
    bidirectional: bool = knobs.knob(
        True, "Reads the source from both ends, with half the units for each."
    )
    residual: bool = knobs.knob(
        False, "From the second layer on, adds a layer's input to its output."
    )
    bridge: str = knobs.knob(
        "dense",
        "From the last states of the encoder's layers to the first ones of the "
        "decoder's: a dense layer each, the states themselves, or zeros.",
        choices=("dense", "copy", "zero"),
    )
    attention: str = knobs.knob(
        "bahdanau",
        "How the decoder reads the source: additive attention before each step, an "
        "input of its first layer; multiplicative attention after all layers; or none, "
        "the encoder's last state alone, an input of every step.",
        choices=("none", "bahdanau", "luong"),
    )
    luong_score: str = knobs.knob(
        "general",
        "With --attention=luong: a learned product, or the plain one over the root of "
        "d_model.",
        choices=("general", "scaled"),
    )
    sampling_probability: float = knobs.knob(
        0.0,
        "Scheduled sampling: share of target positions that read the model's own guess "
        "in place of the reference; costs a decoding of each batch.",
    )
    sampling_warmup_steps: int = knobs.knob(
        0, "Steps over which --sampling_probability rises to its value from 0."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for sizes and shares that cannot be."""
        if self.embedding_dim < 0 or self.embedding_dim % 8:
            raise ValueError(
                f"--embedding_dim={self.embedding_dim} must be a multiple of 8, or 0 "
                "for --d_model"
            )
        knobs.require_in(self, "[0, 1]", "sampling_probability")
        knobs.require_at_least(self, 0, "sampling_warmup_steps")

    @property
    def read(self) -> set[str]:
        """The names of the knobs that a recurrent model made of these reads."""
        read = knobs.names(self)
        if self.attention != "luong":
            read.remove("luong_score")
        if not self.sampling_probability:
            read.remove("sampling_warmup_steps")
        return read


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Model."""

    model: str = knobs.knob(
        "transformer",
        "The model: the Transformer, a recurrent encoder and decoder, the same without "
        "a view of the target (a baseline), or a Keras model of your own.",
        choices=("transformer", "rnn", "repeat_vector", "keras"),
    )
    keras_model: str | None = knobs.knob(
        None,
        "With --model=keras: module:function; called with both vocabulary sizes, it "
        "returns a Keras model of (src_ids, tgt_in_ids) to logits.",
    )
    d_model: int = knobs.knob(256, "Width of the model, in units.")
    num_layers: int = knobs.knob(3, "Layers of the encoder, and of the decoder.")
    dropout_rate: float = knobs.knob(
        0.1, "Share of embeddings and layer outputs dropped, in steps of 1/256."
    )
    r_drop: float = knobs.knob(
        0.0,
        "R-Drop: runs each batch twice, with other dropout, and adds this weight times "
        "the divergence of the two predictions to the loss (often 1 to 5; 0 for one "
        "pass); up to twice the time and memory.",
    )
    transformer: TransformerConfig = dataclasses.field(
        default_factory=TransformerConfig
    )
    rnn: RnnConfig = dataclasses.field(default_factory=RnnConfig)

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that do not fit together."""
        if (self.model == "keras") != (self.keras_model is not None):
            raise ValueError("--model=keras and --keras_model come together")
        knobs.require_positive(self, "d_model", "num_layers")
        heads = self.transformer.num_heads if self.model == "transformer" else 1
        if self.d_model % heads or self.d_model % 8:
            raise ValueError(
                f"--d_model={self.d_model} must be a multiple of 8 and of "
                f"--num_heads={heads}"
            )
        if self.transformer.is_rotary and self.d_model // heads % 2:
            raise ValueError(
                f"--positions={self.transformer.positions} turns pairs: "
                f"--d_model={self.d_model} over --num_heads={heads} must be even"
            )
        knobs.require_in(self, DROPOUT_RATES, "dropout_rate")
        self._check_r_drop()

    @property
    def is_attentive(self) -> bool:
        """Whether it can be read off the model what of the source it attends to."""
        if self.model == "rnn":
            return self.rnn.attention != "none"
        return self.model == "transformer"

    def without_effect(self) -> list[str]:
        """Returns the flags that were given and that this model does not read.

        `--attention=luong` is one for a Transformer. They are no error: whoever takes a
        flagfile and another --model has them.
        """
        read = {
            "transformer": self.transformer.read,
            "rnn": self.rnn.read | {"tied_embeddings"},
            "repeat_vector": _OF_RECURRENT_LAYERS,
            "keras": {"model", "keras_model"},
        }[self.model]
        if self.model != "keras":
            read |= knobs.names(self)
        parts = (self, self.transformer, self.rnn)
        return [one for part in parts for one in knobs.given_beside(part, read)]

    def _check_r_drop(self) -> None:
        knobs.require_at_least(self, 0, "r_drop")
        if not self.r_drop:
            return
        rates = [self.dropout_rate]
        if self.model == "transformer":
            rates.append(self.transformer.attention_dropout_rate)
        if max(rates) < 1 / 256:  # the step that rates come in, see `noise`
            raise ValueError(
                f"--r_drop={self.r_drop} compares two dropouts: --dropout_rate must be "
                "at least 1/256"
            )
        if self.rnn.sampling_probability:
            raise ValueError(
                f"--r_drop={self.r_drop} compares two runs of one input, and "
                f"--sampling_probability={self.rnn.sampling_probability} makes two"
            )
        if self.model == "keras":
            raise ValueError(
                f"--r_drop={self.r_drop} is not for --model=keras, which draws its "
                "dropout by itself"
            )
