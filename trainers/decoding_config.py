"""Which weights say what a text becomes, and how, as flags."""

import dataclasses

from pipeline import exits, knobs
from trainers.models import config as model_config

_OF_BEAM = ("length_penalty", "exact_search")
_OF_DRAWING = ("top_k", "top_p", "sampling_seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightsConfig:
    """Which weights."""

    workdir: str = knobs.knob(help_text="The working directory of a run.")
    checkpoints: str = knobs.knob(
        "best", "Which weights: best (on valid), last, or average:K of the newest K."
    )
    raw_weights: bool = knobs.knob(
        False, "Takes the weights themselves where the run kept a moving average."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for checkpoints that cannot be meant."""
        count_of(self.checkpoints)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Attention pictures."""

    attention_dir: str | None = knobs.knob(
        None,
        "Writes what each target subword attended to, a PNG and a JSON file for each "
        "line, named by its number.",
    )
    attention_layer: int = knobs.knob(
        -1, "Of the decoder, from 0, drawn in the PNG; -1 for the mean."
    )
    attention_head: int = knobs.knob(-1, "From 0, drawn in the PNG; -1 for the mean.")

    def __post_init__(self) -> None:
        """Raises ValueError for what is no layer or head."""
        names = ("attention_layer", "attention_head")
        knobs.require_at_least(self, -1, *names)
        for name in names:
            value = getattr(self, name)
            if value >= 0 and self.attention_dir is None:
                raise ValueError(f"--{name}={value} needs --attention_dir")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """Decoding."""

    beam_size: int = knobs.knob(
        1, "Prefixes kept in beam search; 1 is greedy decoding."
    )
    length_penalty: float = knobs.knob(
        1.0,
        "Of beam search, Wu et al. 2016: 0 compares log-probabilities as they are, "
        "more favours longer hypotheses.",
    )
    exact_search: bool = knobs.knob(
        False,
        "Beam search goes on until no prefix could win even at its longest, not only "
        "until none does as it stands.",
    )
    min_length: int = knobs.knob(
        0, "Subwords that a hypothesis has at least, EOS not counted; up to 2**20."
    )
    min_length_ratio: float = knobs.knob(
        0.0,
        "The same, as a multiple of the subwords of the source, up to 1000; the larger "
        "counts.",
    )
    max_length_ratio: float = knobs.knob(
        2.0,
        "A hypothesis is cut after this multiple, up to 1000, of the subwords of the "
        "source, EOS counted on both sides, and --max_length_offset more.",
    )
    max_length_offset: int = knobs.knob(50, "See --max_length_ratio; up to 2**20.")
    max_source_tokens: int = knobs.knob(
        1024, "Subwords of a source that are read; longer ones are cut, with a warning."
    )
    no_repeat_ngram: int = knobs.knob(
        0, "No sequence of so many subwords comes twice in a hypothesis; 0 for any."
    )
    sampling_temperature: float = knobs.knob(
        0.0,
        "Draws each subword, from probabilities to the power of one over this; 0 takes "
        "the best instead.",
    )
    top_k: int = knobs.knob(
        0, "When drawing: only from the so many likeliest; 0 for all."
    )
    top_p: float = knobs.knob(
        1.0, "When drawing: only from the fewest that have this much probability."
    )
    sampling_seed: int = knobs.knob(
        1, "Of what is drawn, with the number of the line; batches do not matter."
    )
    ensemble: tuple[str, ...] = knobs.knob(
        (),
        "More runs, comma-separated, with the same vocabulary; the mean of all their "
        "probabilities decides.",
    )

    def __post_init__(self) -> None:
        """Raises ValueError for values that cannot be, or do not go together."""
        knobs.require_positive(self, "beam_size")
        from_zero = (
            *("length_penalty", "no_repeat_ngram"),
            *("sampling_temperature", "top_k"),
        )
        knobs.require_at_least(self, 0, *from_zero)
        # int32 has to hold the length at which a hypothesis is cut.
        knobs.require_in(self, "[1, 2**20]", "max_source_tokens")
        knobs.require_in(self, "[0, 1000]", "min_length_ratio", "max_length_ratio")
        knobs.require_in(self, "[0, 2**20]", "min_length", "max_length_offset")
        knobs.require_in(self, "(0, 1]", "top_p")
        knobs.require_in(self, "[0, 2**63)", "sampling_seed")
        if not self.max_length_ratio and not self.max_length_offset:
            raise ValueError(
                "--max_length_ratio=0 needs --max_length_offset above 0, or nothing "
                "could be said"
            )
        self._check_effects()
        if self.is_sampling and self.beam_size > 1:
            raise ValueError(
                f"--beam_size={self.beam_size} and --sampling_temperature do not go "
                "together"
            )

    def _check_effects(self) -> None:
        """Raises ValueError for what would do nothing, if it is not the default."""
        if not self.is_sampling:
            drawing = "--sampling_temperature above 0, such as 1"
            knobs.refuse_without_effect(self, _OF_DRAWING, drawing)
        if self.beam_size == 1:
            knobs.refuse_without_effect(self, _OF_BEAM, "--beam_size above 1")

    @property
    def is_sampling(self) -> bool:
        """Whether subwords are drawn."""
        return self.sampling_temperature > 0

    @property
    def has_minimum(self) -> bool:
        """Whether hypotheses have a least length."""
        return bool(self.min_length or self.min_length_ratio)

    def limit(self, src_tokens: int) -> int:
        """Returns after how many tokens, EOS counted, a hypothesis is cut."""
        return max(int(self.max_length_ratio * src_tokens) + self.max_length_offset, 1)

    def minimum(self, src_tokens: int) -> int:
        """Returns how many subwords a hypothesis has at least, below its limit.

        Args:
            src_tokens: Of the source, EOS counted.
        """
        least = max(self.min_length, int(self.min_length_ratio * (src_tokens - 1)))
        return min(least, self.limit(src_tokens) - 1)


def check_decodable(model: model_config.ModelConfig, asked: DecodingConfig) -> None:
    """Refuses a beam for a model whose positions do not depend on each other.

    Raises:
        exits.Refusal: Of kind `USAGE`.
    """
    if model.model == "repeat_vector" and asked.beam_size > 1:
        raise exits.Refusal(
            exits.USAGE,
            f"--beam_size={asked.beam_size}: the run is of --model=repeat_vector, "
            "which has nothing to search; leave --beam_size at 1",
        )


def check_attentive(model: model_config.ModelConfig, asked: AttentionConfig) -> None:
    """Refuses pictures of attention of a model that has none to draw.

    Raises:
        exits.Refusal: Of kind `MISMATCH`.
    """
    if asked.attention_dir and not model.is_attentive:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--attention_dir={asked.attention_dir}: the run's --model={model.model} "
            "has no attention to draw; leave the flag out",
        )


def count_of(which: str) -> int:
    """Returns how many checkpoints `which` names, 0 for the best.

    Raises:
        ValueError: If it is none of `best`, `last` and `average:K`.
    """
    if which == "best":
        return 0
    if which == "last":
        return 1
    kind, _, count = which.partition(":")
    if kind == "average" and count.isdecimal() and int(count) > 0:
        return int(count)
    raise ValueError(f"--checkpoints={which}: want best, last or average:K")
