"""What a build is asked to do."""

import dataclasses
import pathlib

from pipeline import knobs

BUILT_IN = ("cmudict", "numbers")
MODEL_TYPES = ("unigram", "bpe", "char", "word")
NORMALIZATIONS = ("nmt_nfkc", "nfkc", "none")

_PARALLEL = tuple(
    f"{split}_{side}" for split in ("train", "valid", "test") for side in ("src", "tgt")
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Corpus: a built-in one, or pairs of text files, or TSV files."""

    corpus: str | None = knobs.knob(
        None,
        "A built-in corpus: cmudict (spelling to phonemes) or numbers (English number "
        "words to French).",
        choices=BUILT_IN,
    )
    train_src: tuple[str, ...] = knobs.knob(
        (),
        "Training sources, a sentence a line: files or globs, .gz too.",
        may_change=True,
    )
    train_tgt: tuple[str, ...] = knobs.knob(
        (), "Training targets, line by line.", may_change=True
    )
    valid_src: tuple[str, ...] = knobs.knob((), "Validation sources.", may_change=True)
    valid_tgt: tuple[str, ...] = knobs.knob((), "Validation targets.", may_change=True)
    test_src: tuple[str, ...] = knobs.knob((), "Test sources.", may_change=True)
    test_tgt: tuple[str, ...] = knobs.knob((), "Test targets.", may_change=True)
    train: tuple[str, ...] = knobs.knob(
        (),
        "Training pairs in TSV files or globs, .gz too; --columns says where.",
        may_change=True,
    )
    valid: tuple[str, ...] = knobs.knob(
        (), "Validation pairs in TSV files.", may_change=True
    )
    test: tuple[str, ...] = knobs.knob((), "Test pairs in TSV files.", may_change=True)
    columns: tuple[str, ...] = knobs.knob(
        ("1", "2"), "Columns of source and target in TSV files, from 1."
    )
    valid_fraction: float = knobs.knob(
        0.0, "Share of the training pairs set apart for validation."
    )
    test_fraction: float = knobs.knob(
        0.0, "Share of the training pairs set apart for testing."
    )
    split_by: str = knobs.knob(
        "source",
        "What the shares are drawn by: source keeps pairs with the same source in one "
        "split, line draws each line for itself.",
        choices=("source", "line"),
    )
    max_reject_fraction: float = knobs.knob(
        0.05, "Share of a file's lines that may be undecodable before it is refused."
    )

    def __post_init__(self) -> None:
        """Raises ValueError where it is not clear what to read."""
        given = [
            name
            for name in (*_PARALLEL, "train", "valid", "test")
            if getattr(self, name)
        ]
        if self.corpus and given:
            raise ValueError(
                f"--corpus={self.corpus} and --{given[0]} exclude each other"
            )
        if not self.corpus and not (self.train or self.train_src):
            raise ValueError(
                "no corpus: give --corpus, or --train_src and --train_tgt, or --train"
            )
        for split in ("train", "valid", "test"):
            self._check_split(split)
        shares = (self.valid_fraction, self.test_fraction)
        if min(shares) < 0 or sum(shares) >= 1:
            raise ValueError(
                f"--valid_fraction={shares[0]} and --test_fraction={shares[1]} must be "
                "at least 0 and leave something to train on"
            )
        if not 0 <= self.max_reject_fraction <= 1:
            raise ValueError(
                "--max_reject_fraction must be in [0, 1], got "
                f"{self.max_reject_fraction}"
            )
        if len(self.columns) != 2 or not all(
            column.isdecimal() and int(column) > 0 for column in self.columns
        ):
            raise ValueError(
                f"--columns={','.join(self.columns)}: want two, such as 1,2"
            )

    def _check_split(self, split: str) -> None:
        src, tgt = getattr(self, f"{split}_src"), getattr(self, f"{split}_tgt")
        if bool(src) != bool(tgt):
            missing = f"{split}_tgt" if src else f"{split}_src"
            raise ValueError(
                f"--{missing} is missing: sources and targets come together"
            )
        if src and getattr(self, split):
            raise ValueError(f"--{split} and --{split}_src exclude each other")
        share = {"valid": self.valid_fraction, "test": self.test_fraction}.get(split, 0)
        if share and (src or getattr(self, split) or self.corpus):
            raise ValueError(
                f"--{split}_fraction={share}, but {split} is given already"
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
        "A trained SentencePiece model for both sides, instead of learning one.",
        may_change=True,
    )
    character_coverage: float = knobs.knob(
        1.0, "Share of the text's characters that get a piece; the rest become unknown."
    )
    normalize: str = knobs.knob(
        "nmt_nfkc",
        "Unicode normalisation, kept in the model and so done to later input too.",
        choices=NORMALIZATIONS,
    )
    lowercase: bool = knobs.knob(
        False, "Lowercases too (letters that have no lower case, such as ß, stay)."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for sizes and combinations that cannot be had."""
        for name in ("vocab_size", "src_vocab_size", "tgt_vocab_size"):
            size = getattr(self, name)
            if size is not None and not 8 <= size <= 65_000:
                raise ValueError(f"--{name} must be in [8, 65000], got {size}")
        if not 0.9 <= self.character_coverage <= 1:
            raise ValueError(
                "--character_coverage must be in [0.9, 1], got "
                f"{self.character_coverage}"
            )
        apart = [
            name
            for name in (
                "src_vocab_size",
                "tgt_vocab_size",
                "src_model_type",
                "tgt_model_type",
            )
            if getattr(self, name) is not None
        ]
        if (self.shared_vocab or self.spm_model) and apart:
            raise ValueError(f"--{apart[0]} needs separate vocabularies")

    def size(self, side: str) -> int:
        """Returns the vocabulary size asked for a side, `src` or `tgt`."""
        return getattr(self, f"{side}_vocab_size") or self.vocab_size

    def type(self, side: str) -> str:
        """Returns the model type asked for a side, `src` or `tgt`."""
        return getattr(self, f"{side}_model_type") or self.model_type or "unigram"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CleaningConfig:
    """Cleaning: which training pairs are left out; valid and test are kept whole."""

    max_length: int = knobs.knob(
        256, "Longest side kept, in tokens, BOS or EOS included."
    )
    max_bytes: int = knobs.knob(
        32_768, "Longest line kept, in bytes; in valid and test too."
    )
    max_ratio: float = knobs.knob(
        0.0, "Largest ratio of the sides' lengths in tokens; 0 for any."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for bounds that would keep nothing or not fit a record."""
        if self.max_length < 2:
            raise ValueError(f"--max_length must be at least 2, got {self.max_length}")
        # At most one token a byte and a word mark; a sidecar counts to 65,535.
        if not 1 <= self.max_bytes <= 65_000:
            raise ValueError(f"--max_bytes must be in [1, 65000], got {self.max_bytes}")
        if self.max_ratio and self.max_ratio < 1:
            raise ValueError(
                f"--max_ratio must be 0 or at least 1, got {self.max_ratio}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """Output."""

    data_dir: str = knobs.knob(help_text="The data directory to make.", may_change=True)
    num_shards: int = knobs.knob(
        16, "Files of the training split; fewer if there are fewer pairs."
    )
    store_text: bool = knobs.knob(
        False, "Keeps the raw text of training pairs too; valid and test always do."
    )
    seed: int = knobs.knob(1, "Of the split by shares.")
    num_workers: int = knobs.knob(
        0,
        "Processes that encode; 0 for one a core. Does not change the result.",
        may_change=True,
    )
    overwrite: bool = knobs.knob(
        False, "Replaces a data directory that was made otherwise.", may_change=True
    )

    def __post_init__(self) -> None:
        """Raises ValueError for counts that make no sense."""
        if not 1 <= self.num_shards <= 99_999:
            raise ValueError(
                f"--num_shards must be in [1, 99999], got {self.num_shards}"
            )
        if self.num_workers < 0:
            raise ValueError(
                f"--num_workers must be at least 0, got {self.num_workers}"
            )

    @property
    def path(self) -> pathlib.Path:
        """The data directory."""
        return pathlib.Path(self.data_dir)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """Everything a build depends on."""

    output: OutputConfig
    corpus: CorpusConfig
    subwords: SubwordConfig
    cleaning: CleaningConfig
