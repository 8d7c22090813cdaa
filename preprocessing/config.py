"""What a build is asked to do."""

import codecs
import dataclasses
import pathlib
import re

import regex

from pipeline import knobs

BUILT_IN = ("cmudict", "numbers")
FORMATS = ("tsv", "csv", "jsonl", "regex", "tmx", "po", "parquet")
TASKS = ("pairs", "labels")
MODEL_TYPES = ("unigram", "bpe", "char", "word")
NORMALIZATIONS = ("nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "none")

_SPLITS = ("train", "valid", "test")
_PARALLEL = tuple(f"{split}_{side}" for split in _SPLITS for side in ("src", "tgt"))
_WITH_LANGUAGES = ("tmx",)
_BY_POSITION = ("tsv", "csv")


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the files of one split are laid out.

    Attributes:
        format: One of `FORMATS`; nothing for pairs of files, line by line.
        columns: Where source and targets are: positions from 1, names, paths such as
            `translation.en`, or languages; empty for what the format has by itself.
        pattern: Regular expression of `--format=regex`.
        header: Whether the first line names the columns.
        delimiter: Between the fields of a CSV line.
        encoding: Of the text, in Python's words.
    """

    format: str
    columns: tuple[str, ...]
    pattern: str | None
    header: bool
    delimiter: str
    encoding: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Corpus: a built-in one, or pairs of text files, or files that hold pairs."""

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
    valid_tgt: tuple[str, ...] = knobs.knob(
        (),
        "Validation targets; once more as many files are further references.",
        may_change=True,
    )
    test_src: tuple[str, ...] = knobs.knob((), "Test sources.", may_change=True)
    test_tgt: tuple[str, ...] = knobs.knob(
        (),
        "Test targets; once more as many files are further references.",
        may_change=True,
    )
    train: tuple[str, ...] = knobs.knob(
        (),
        "Training pairs in files or globs, .gz too; --format and --columns say how.",
        may_change=True,
    )
    valid: tuple[str, ...] = knobs.knob(
        (), "Validation pairs in such files.", may_change=True
    )
    test: tuple[str, ...] = knobs.knob((), "Test pairs in such files.", may_change=True)
    train_names: tuple[str, ...] = knobs.knob(
        (), "Names of the training corpora, one for each file or glob given."
    )
    train_weights: tuple[str, ...] = knobs.knob(
        (),
        "How often a pair of each of them is written: 2 is twice, 0.5 every second one "
        "(drawn by hash); 1 each if not set.",
    )
    format: str = knobs.knob(
        "tsv", "How --train, --valid and --test files are laid out.", choices=FORMATS
    )
    columns: tuple[str, ...] = knobs.knob(
        (),
        "Source, target and further targets: positions from 1 or names in the header "
        "(tsv, csv), field names or paths a.b (jsonl, parquet), languages (tmx); a+b "
        "joins two. If not set: 1,2 for tsv and csv; src,tgt or text,label for jsonl "
        "and parquet.",
    )
    pattern: str | None = knobs.knob(
        None,
        "For --format=regex: matches a whole line, with groups named src and tgt (or "
        "text and label), such as 'IN: (?P<src>.*) OUT: (?P<tgt>.*)'.",
    )
    header: bool | None = knobs.knob(
        None,
        "Whether tsv and csv files begin with a line of names (if not set: when "
        "--columns has names).",
    )
    delimiter: str = knobs.knob(
        ",", "Between the fields of a csv file: one character, or tab."
    )
    encoding: str = knobs.knob(
        "utf-8", "Of the text files, such as latin-1, cp1252, shift_jis or utf-16."
    )
    valid_format: str | None = knobs.knob(
        None, "--format of the validation files.", choices=FORMATS
    )
    valid_columns: tuple[str, ...] = knobs.knob(
        (), "--columns of the validation files."
    )
    valid_pattern: str | None = knobs.knob(None, "--pattern of the validation files.")
    valid_header: bool | None = knobs.knob(None, "--header of the validation files.")
    valid_encoding: str | None = knobs.knob(None, "--encoding of the validation files.")
    test_format: str | None = knobs.knob(
        None, "--format of the test files.", choices=FORMATS
    )
    test_columns: tuple[str, ...] = knobs.knob((), "--columns of the test files.")
    test_pattern: str | None = knobs.knob(None, "--pattern of the test files.")
    test_header: bool | None = knobs.knob(None, "--header of the test files.")
    test_encoding: str | None = knobs.knob(None, "--encoding of the test files.")
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
        0.05,
        "Share of a file's lines that may be undecodable or not laid out as said "
        "before it is refused.",
    )

    def __post_init__(self) -> None:
        """Raises ValueError where it is not clear what to read."""
        given = [name for name in (*_PARALLEL, *_SPLITS) if getattr(self, name)]
        if self.corpus and given:
            raise ValueError(
                f"--corpus={self.corpus} and --{given[0]} exclude each other"
            )
        if not self.corpus and not (self.train or self.train_src):
            raise ValueError(
                "no corpus: give --corpus, or --train_src and --train_tgt, or --train"
            )
        for split in _SPLITS:
            self._check_split(split)
        self._check_named()
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

    def layout(self, split: str) -> Layout:
        """Returns how a split's files are laid out: its own flags, then the general."""
        own = "" if split == "train" else f"{split}_"
        kind = getattr(self, f"{own}format") or self.format
        columns = getattr(self, f"{own}columns") or self.columns
        header = getattr(self, f"{own}header")
        if header is None:
            header = self.header
        if header is None:
            header = not all(
                part.isdecimal() for column in columns for part in column.split("+")
            )
        return Layout(
            format=kind,
            columns=columns,
            pattern=getattr(self, f"{own}pattern") or self.pattern,
            header=header and kind in _BY_POSITION,
            delimiter={"tab": "\t", "\\t": "\t"}.get(self.delimiter, self.delimiter),
            encoding=getattr(self, f"{own}encoding") or self.encoding,
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
        self._check_layout(split)

    def _check_layout(self, split: str) -> None:
        layout = self.layout(split)
        own = "" if split == "train" else f"{split}_"
        shown = f"--{own}columns={','.join(layout.columns)}"
        try:
            codecs.lookup(layout.encoding)
        except LookupError:
            raise ValueError(
                f"--{own}encoding={layout.encoding}: no such encoding; Python's names "
                "count, such as latin-1 or cp1252"
            ) from None
        if len(layout.delimiter) != 1:
            raise ValueError(
                f"--delimiter={self.delimiter}: want one character, or tab"
            )
        if not getattr(self, split):
            return
        if len(layout.columns) == 1:
            raise ValueError(f"{shown}: want at least two, such as 1,2")
        positions = [column for column in layout.columns if column.isdecimal()]
        if layout.format in _BY_POSITION and "0" in positions:
            raise ValueError(f"{shown}: positions count from 1")
        if layout.format in _WITH_LANGUAGES and not layout.columns:
            raise ValueError(
                f"--{own}format={layout.format} needs languages: --{own}columns=en,fr"
            )
        if layout.format == "regex":
            _check_pattern(own, layout.pattern)

    def _check_named(self) -> None:
        given = len(self.train or self.train_src) or 1
        for name in ("train_names", "train_weights"):
            count = len(getattr(self, name))
            if count and count != given:
                raise ValueError(
                    f"--{name} has {count} entries, --train or --train_src {given}"
                )
        for weight in self.train_weights:
            try:
                positive = 0 < float(weight) <= 1000
            except ValueError:
                positive = False
            if not positive:
                raise ValueError(
                    f"--train_weights={','.join(self.train_weights)}: each must be a "
                    "number above 0 and at most 1000"
                )


def _check_pattern(own: str, pattern: str | None) -> None:
    if pattern is None:
        raise ValueError(f"--{own}format=regex needs --{own}pattern")
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"--{own}pattern={pattern}: {error}") from None
    if not (groups.keys() & {"src", "text"} and groups.keys() & {"tgt", "label"}):
        raise ValueError(
            f"--{own}pattern={pattern}: needs groups named src and tgt, or text and "
            "label: (?P<src>...)"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """Task: pairs of texts, or texts with a label."""

    task: str = knobs.knob(
        "pairs",
        "What the second column is: the target text, or the label of a class.",
        choices=TASKS,
    )
    label_names: tuple[str, ...] = knobs.knob(
        (),
        "The labels in the order of their ids; the training file's, sorted, if not "
        "set.",
    )
    label_map: tuple[str, ...] = knobs.knob(
        (),
        "Renames labels first: OLD=NEW,..., or a file with OLD, a tab and NEW a line.",
    )
    soft_labels: bool = knobs.knob(
        False,
        "The label column holds shares: as many numbers as --label_names, or a JSON "
        "object of names and numbers. They must sum to 1.",
    )

    def __post_init__(self) -> None:
        """Raises ValueError for label settings that make no sense."""
        for name in ("label_names", "label_map", "soft_labels"):
            if getattr(self, name) and self.task != "labels":
                raise ValueError(f"--{name} needs --task=labels")
        if self.soft_labels and not self.label_names:
            raise ValueError("--soft_labels needs --label_names")
        if self.soft_labels and self.label_map:
            raise ValueError("--soft_labels and --label_map exclude each other")
        if len(set(self.label_names)) != len(self.label_names):
            raise ValueError(
                f"--label_names={','.join(self.label_names)}: a name is there twice"
            )


# Knobs of SubwordConfig that end in the model's rules, and those that shape its pieces.
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
        "A trained SentencePiece model for both sides, instead of learning one.",
        may_change=True,
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
        "share of merges that BPE leaves out.",
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
        if not 0.9 <= self.character_coverage <= 1:
            raise ValueError(
                "--character_coverage must be in [0.9, 1], got "
                f"{self.character_coverage}"
            )
        if self.spm_sample < 0:
            raise ValueError(f"--spm_sample must be at least 0, got {self.spm_sample}")
        if not 1 <= self.spm_threads <= 1024:
            raise ValueError(
                f"--spm_threads must be in [1, 1024], got {self.spm_threads}"
            )
        self._check_samples()
        self._check_rules()
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

    def _check_samples(self) -> None:
        if not 0 <= self.subword_samples <= 100:
            raise ValueError(
                f"--subword_samples must be in [0, 100], got {self.subword_samples}"
            )
        if not 0 < self.sampling_alpha <= 1:
            raise ValueError(
                f"--sampling_alpha must be in (0, 1], got {self.sampling_alpha}"
            )
        kinds = {self.type("src"), self.type("tgt")}
        fixed = sorted(kinds & {"char", "word"})
        if self.subword_samples and fixed == sorted(kinds):
            raise ValueError(
                f"--subword_samples={self.subword_samples}: {fixed[0]} models have one "
                "segmentation; use unigram or bpe"
            )

    def _check_rules(self) -> None:
        """A given model has its own vocabulary and rules; a rule file its own rules."""
        names: tuple[str, ...] = (*_IN_RULES, "normalize", "normalize_rules")
        if self.spm_model:
            names = (*names, *_LEARNING)
            self._refuse_beside("spm_model", names)
        if self.normalize_rules:
            self._refuse_beside("normalize_rules", (*_IN_RULES, "normalize"))
        if self.lowercase and self.normalize.endswith("_cf"):
            raise ValueError(
                f"--lowercase and --normalize={self.normalize} exclude each other"
            )

    def _refuse_beside(self, name: str, others: tuple[str, ...]) -> None:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for other in others:
            if getattr(self, other) != defaults[other]:
                raise ValueError(
                    f"--{name} and --{other} exclude each other: the first one decides"
                )

    @property
    def extra_rules(self) -> tuple[str, ...]:
        """The named normalisation options that are on."""
        return tuple(name for name in _IN_RULES if getattr(self, name))

    def size(self, side: str) -> int:
        """Returns the vocabulary size asked for a side, `src` or `tgt`."""
        return getattr(self, f"{side}_vocab_size") or self.vocab_size

    def type(self, side: str) -> str:
        """Returns the model type asked for a side, `src` or `tgt`."""
        return getattr(self, f"{side}_model_type") or self.model_type or "unigram"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CleaningConfig:
    """Cleaning: which training pairs are left out; valid and test are kept whole."""

    min_length: int = knobs.knob(1, "Shortest side kept, in tokens.")
    max_length: int = knobs.knob(
        256, "Longest side kept, in tokens, BOS or EOS included."
    )
    overlong: str = knobs.knob(
        "drop",
        "What happens to training pairs over --max_length: drop, or truncate both "
        "sides.",
        choices=("drop", "truncate"),
    )
    max_bytes: int = knobs.knob(
        32_768, "Longest side kept, in bytes; in valid and test too."
    )
    max_ratio: float = knobs.knob(
        0.0, "Largest ratio of the sides' lengths in tokens; 0 for any."
    )
    control: str = knobs.knob(
        "drop",
        "What happens to training pairs with NUL or another C0 control character: "
        "drop or keep.",
        choices=("drop", "keep"),
    )
    drop_identical: bool = knobs.knob(
        False, "Leaves out training pairs whose sides are the same text."
    )
    dedup: bool = knobs.knob(
        False, "Leaves out training pairs that were there before, by 64-bit hash."
    )
    drop_overlap: bool = knobs.knob(
        False,
        "Leaves out training pairs that are in valid or test; they are counted in any "
        "case.",
    )
    same_by: str = knobs.knob(
        "pair",
        "What makes two pairs the same for --dedup and --drop_overlap.",
        choices=("pair", "source"),
    )
    src_script: str | None = knobs.knob(
        None, "Unicode script of the sources, such as Latin or Han; other pairs go."
    )
    tgt_script: str | None = knobs.knob(None, "Unicode script of the targets.")
    min_script_share: float = knobs.knob(
        0.5, "Share of a side's letters that must be of its script."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for bounds that would keep nothing or not fit a record."""
        if self.max_length < 2:
            raise ValueError(f"--max_length must be at least 2, got {self.max_length}")
        if not 1 <= self.min_length < self.max_length:
            raise ValueError(
                f"--min_length must be in [1, {self.max_length - 1}], got "
                f"{self.min_length}"
            )
        # A sidecar counts to 65,535; a pair that normalises to more is left out later.
        if not 1 <= self.max_bytes <= 65_000:
            raise ValueError(f"--max_bytes must be in [1, 65000], got {self.max_bytes}")
        if self.max_ratio and self.max_ratio < 1:
            raise ValueError(
                f"--max_ratio must be 0 or at least 1, got {self.max_ratio}"
            )
        if not 0 < self.min_script_share <= 1:
            raise ValueError(
                f"--min_script_share must be in (0, 1], got {self.min_script_share}"
            )
        for name in ("src_script", "tgt_script"):
            _check_script(name, getattr(self, name))


def _check_script(name: str, script: str | None) -> None:
    if script is None:
        return
    try:
        regex.compile(rf"\p{{Script={script}}}")
    except regex.error:
        raise ValueError(
            f"--{name}={script}: no such Unicode script; Latin, Cyrillic, Greek, Han, "
            "Arabic, Devanagari, Hangul and so on"
        ) from None


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
    seed: int = knobs.knob(1, "Of everything that is drawn: splits and samples.")
    num_workers: int = knobs.knob(
        0,
        "Processes that encode; 0 for one a core. Does not change the result.",
        may_change=True,
    )
    overwrite: bool = knobs.knob(
        False,
        "Builds again, and replaces the data directory that is there.",
        may_change=True,
    )

    def __post_init__(self) -> None:
        """Raises ValueError for counts that make no sense."""
        if not 1 <= self.num_shards <= 99_999:
            raise ValueError(
                f"--num_shards must be in [1, 99999], got {self.num_shards}"
            )
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"--seed must be in [0, 2**31), got {self.seed}")
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
    task: TaskConfig
    subwords: SubwordConfig
    cleaning: CleaningConfig

    def __post_init__(self) -> None:
        """Raises ValueError for settings that exclude each other across groups."""
        if self.task.task == "labels":
            self._check_labels()

    def _check_labels(self) -> None:
        if self.corpus.corpus:
            raise ValueError(f"--corpus={self.corpus.corpus} holds pairs, not labels")
        if self.subwords.shared_vocab:
            raise ValueError("--shared_vocab needs --task=pairs: labels have no text")
        for name in ("tgt_vocab_size", "tgt_model_type"):
            if getattr(self.subwords, name) is not None:
                raise ValueError(f"--{name} needs --task=pairs: labels have no text")
        for name in ("max_ratio", "drop_identical", "tgt_script"):
            if getattr(self.cleaning, name):
                raise ValueError(f"--{name} needs --task=pairs: labels have no text")
