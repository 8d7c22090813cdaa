"""How subwords are learned: knobs."""

import dataclasses

from pipeline import knobs

MODEL_TYPES = ("unigram", "bpe", "char", "word")
FIXED_TYPES = {"char", "word"}  # a text has one segmentation
NORMALIZATIONS = ("nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "none")
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
# Knobs that end in the model's rules, and those that shape its pieces.
_IN_RULES = ("lowercase", "unescape_html", "remove_zero_width", "plain_punctuation")
_LEARNING = (
    "vocab_size",
    "shared_vocab",
    "model_type",
    "character_coverage",
    "byte_fallback",
    "user_defined_symbols",
    "spm_sample",
    "spm_threads",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubwordConfig:
    """Subwords: SentencePiece models learned from the training text."""

    vocab_size: int = knobs.knob(
        8000, "Pieces of a vocabulary at most; small corpora have fewer."
    )
    src_vocab_size: int | None = knobs.knob(None, "The same for the source alone.")
    tgt_vocab_size: int | None = knobs.knob(None, "The same for the target alone.")
    shared_vocab: bool = knobs.knob(False, "One vocabulary for both sides.")
    model_type: str | None = knobs.knob(
        None, "How text is cut. (unigram if not set)", choices=MODEL_TYPES
    )
    src_model_type: str | None = knobs.knob(
        None, "The same for the source alone.", choices=MODEL_TYPES
    )
    tgt_model_type: str | None = knobs.knob(
        None, "The same for the target alone.", choices=MODEL_TYPES
    )
    spm_model: str | None = knobs.knob(
        None,
        "A trained SentencePiece model for both sides, instead of learning one; its "
        "ids are pad 0, bos 1, eos 2, unk 3.",
        may_change=True,
    )
    src_spm_model: str | None = knobs.knob(
        None, "The same for the source alone.", may_change=True
    )
    tgt_spm_model: str | None = knobs.knob(
        None, "The same for the target alone.", may_change=True
    )
    spm_sample: int = knobs.knob(
        1_000_000,
        "Pairs that subwords are learned from at most, drawn by hash; 0 for all.",
    )
    spm_threads: int = knobs.knob(
        16,
        "Threads that learn subwords. Part of the result: sums over threads are added "
        "in another order with another number.",
    )
    character_coverage: float = knobs.knob(
        1.0, "Share of the text's characters that get a piece; the rest become unknown."
    )
    byte_fallback: bool = knobs.knob(
        False, "Writes unknown characters as bytes (256 pieces) instead of unknown."
    )
    user_defined_symbols: tuple[str, ...] = knobs.knob(
        (), "Strings that are always one piece, such as <sep>."
    )
    subword_samples: int = knobs.knob(
        0,
        "Segmentations drawn for each training pair (subword regularisation, Kudo "
        "2018; BPE dropout, Provilkov et al. 2020); epoch e uses number e modulo "
        "this. 0 keeps the best one only.",
    )
    sampling_alpha: float = knobs.knob(
        0.2,
        "Of --subword_samples: smoothing of a unigram model (smaller is more even), or "
        "share of merges that BPE leaves out before each one.",
    )
    normalize: str = knobs.knob(
        "nmt_nfkc",
        "Unicode normalisation, kept in the model and so done to later input too; _cf "
        "folds case.",
        choices=NORMALIZATIONS,
    )
    normalize_rules: str | None = knobs.knob(
        None,
        "A SentencePiece rule file instead: a line a rule, code points in hexadecimal, "
        "FROM, a tab, TO.",
        may_change=True,
    )
    lowercase: bool = knobs.knob(
        False, "Lowercases too (letters that have no lower case, such as ß, stay)."
    )
    unescape_html: bool = knobs.knob(
        False, "Entities such as &amp; and &#39; become their characters."
    )
    remove_zero_width: bool = knobs.knob(
        False, "Zero-width characters and soft hyphens vanish."
    )
    plain_punctuation: bool = knobs.knob(
        False,
        "Typographic quotes, dashes, dots and spaces become ASCII, as Moses' "
        "normaliser has it.",
    )

    def __post_init__(self) -> None:
        """Raises ValueError for sizes and combinations that cannot be had."""
        for name in ("vocab_size", "src_vocab_size", "tgt_vocab_size"):
            size = getattr(self, name)
            if size is not None and not 8 <= size <= 65_000:
                raise ValueError(f"--{name} must be in [8, 65000], got {size}")
        if not 0.98 <= self.character_coverage <= 1:  # SentencePiece's own bounds
            raise ValueError(
                "--character_coverage must be in [0.98, 1], got "
                f"{self.character_coverage}"
            )
        for symbol in self.user_defined_symbols:
            if symbol in _SPECIAL:
                raise ValueError(
                    f"--user_defined_symbols={symbol}: is there already, with an id of "
                    "its own"
                )
        knobs.require_at_least(self, 0, "spm_sample")
        knobs.require_in(self, "[1, 1024]", "spm_threads")
        self._check_samples()
        self._check_rules()
        apart = [
            name
            for name in (
                "src_vocab_size",
                "tgt_vocab_size",
                "src_model_type",
                "tgt_model_type",
                "src_spm_model",
                "tgt_spm_model",
            )
            if getattr(self, name) is not None
        ]
        if (self.shared_vocab or self.spm_model) and apart:
            raise ValueError(f"--{apart[0]} needs separate vocabularies")

    def _check_samples(self) -> None:
        knobs.require_in(self, "[0, 100]", "subword_samples")
        knobs.require_in(self, "(0, 1]", "sampling_alpha")
        if not self.subword_samples:
            needed = "--subword_samples above 0"
            knobs.refuse_without_effect(self, ["sampling_alpha"], needed)
        if not (self.given("src") or self.given("tgt")):
            self.check_varies("src", "tgt")

    def check_varies(self, *sides: str) -> None:
        """Raises ValueError if segmentations are to be drawn and no side has several.

        Args:
            sides: Of `src` and `tgt` those whose model is learned.
        """
        kinds = {self.type(side) for side in sides}
        if self.subword_samples and kinds <= FIXED_TYPES:
            raise ValueError(
                f"--subword_samples={self.subword_samples}: {min(kinds)} models have "
                "one segmentation; use unigram or bpe"
            )

    def _check_rules(self) -> None:
        """A given model has its own vocabulary and rules; a rule file its own rules."""
        if self.spm_model:
            self.check_nothing_learned("spm_model")
        if self.src_spm_model and self.tgt_spm_model:
            self.check_nothing_learned("src_spm_model")
        for side in ("src", "tgt"):
            if getattr(self, f"{side}_spm_model"):
                own = (f"{side}_vocab_size", f"{side}_model_type")
                self._refuse_beside(f"{side}_spm_model", own)
        if self.normalize_rules:
            self._refuse_beside("normalize_rules", (*_IN_RULES, "normalize"))
        if self.lowercase and self.normalize.endswith("_cf"):
            raise ValueError(
                f"--lowercase and --normalize={self.normalize} exclude each other"
            )

    def check_nothing_learned(self, name: str) -> None:
        """Raises ValueError for what only learning uses, beside a model that is given.

        Args:
            name: Of the flag that gives it.
        """
        self._refuse_beside(
            name, (*_IN_RULES, "normalize", "normalize_rules", *_LEARNING)
        )

    def _refuse_beside(self, name: str, others: tuple[str, ...]) -> None:
        chosen = knobs.chosen(self)
        for other in others:
            if other in chosen:
                raise ValueError(
                    f"--{name} and --{other} exclude each other: the first one decides"
                )

    @property
    def extra_rules(self) -> tuple[str, ...]:
        """The named normalisation options that are on."""
        return tuple(name for name in _IN_RULES if getattr(self, name))

    def given(self, side: str) -> str | None:
        """Returns the model given for a side, `src` or `tgt`, if there is one."""
        return self.spm_model or getattr(self, f"{side}_spm_model")

    def size(self, side: str) -> int:
        """Returns the vocabulary size asked for a side, `src` or `tgt`."""
        return getattr(self, f"{side}_vocab_size") or self.vocab_size

    def type(self, side: str) -> str:
        """Returns the model type asked for a side, `src` or `tgt`."""
        return getattr(self, f"{side}_model_type") or self.model_type or "unigram"
