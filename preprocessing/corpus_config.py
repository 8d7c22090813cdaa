"""Where the text comes from: knobs, and the layout of each split."""

import dataclasses
import re

from pipeline import knobs, manifest

BUILT_IN = ("cmudict", "numbers")
FORMATS = ("tsv", "csv", "jsonl", "regex", "tmx", "po", "parquet")
_PARALLEL = tuple(
    f"{split}_{side}" for split in manifest.SPLITS for side in ("src", "tgt")
)
_WITH_LANGUAGES = ("tmx",)
_BY_POSITION = ("tsv", "csv")
_OF_FILES_OF_PAIRS = ("format", "columns", "pattern", "header")
_READ_BY = {  # which formats have what a flag says; encoding: pairs of files, too
    "columns": ("csv", "jsonl", "parquet", "tmx", "tsv"),
    "header": ("csv", "tsv"),
    "delimiter": ("csv",),
    "pattern": ("regex",),
    "encoding": ("csv", "jsonl", "po", "regex", "tsv"),
}
_TABS = {"tab": "\t", "\\t": "\t"}  # how a tab may be written in a flag


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
        reference_separator: Between several references in one place; None for one.
    """

    format: str
    columns: tuple[str, ...]
    pattern: str | None
    header: bool
    delimiter: str
    encoding: str
    reference_separator: str | None


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
    reference_separator: str | None = knobs.knob(
        None,
        "What stands between several references in one target field or line, such as "
        "'|', or tab; a training pair is made of each.",
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
    valid_reference_separator: str | None = knobs.knob(
        None, "--reference_separator of the validation files."
    )
    test_format: str | None = knobs.knob(
        None, "--format of the test files.", choices=FORMATS
    )
    test_columns: tuple[str, ...] = knobs.knob((), "--columns of the test files.")
    test_pattern: str | None = knobs.knob(None, "--pattern of the test files.")
    test_header: bool | None = knobs.knob(None, "--header of the test files.")
    test_encoding: str | None = knobs.knob(None, "--encoding of the test files.")
    test_reference_separator: str | None = knobs.knob(
        None, "--reference_separator of the test files."
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
        0.05,
        "Share of a file's lines that may be undecodable, not laid out as said, or "
        "with a label that cannot be read, before it is refused.",
    )

    def __post_init__(self) -> None:
        """Raises ValueError where it is not clear what to read."""
        given = [name for name in (*_PARALLEL, *manifest.SPLITS) if getattr(self, name)]
        if self.corpus and given:
            raise ValueError(
                f"--corpus={self.corpus} and --{given[0]} exclude each other"
            )
        if not self.corpus and not (self.train or self.train_src):
            raise ValueError(
                "no corpus: give --corpus, or --train_src and --train_tgt, or --train"
            )
        for split in manifest.SPLITS:
            self._check_split(split)
            separator = self.layout(split).reference_separator
            if self.corpus and separator is not None:
                raise ValueError(
                    f"--reference_separator={separator} is for files; "
                    f"--corpus={self.corpus} has its references apart"
                )
        self._check_used()
        self._check_named()
        shares = (self.valid_fraction, self.test_fraction)
        if min(shares) < 0 or sum(shares) >= 1:
            raise ValueError(
                f"--valid_fraction={shares[0]} and --test_fraction={shares[1]} must be "
                "at least 0 and leave something to train on"
            )
        knobs.require_in(self, "[0, 1]", "max_reject_fraction")

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
        separator = getattr(self, f"{own}reference_separator")
        separator = separator or self.reference_separator
        return Layout(
            format=kind,
            columns=columns,
            pattern=getattr(self, f"{own}pattern") or self.pattern,
            header=header and kind in _BY_POSITION,
            delimiter=_TABS.get(self.delimiter, self.delimiter),
            encoding=getattr(self, f"{own}encoding") or self.encoding,
            reference_separator=_TABS.get(separator or "", separator),
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
            "".encode(layout.encoding)
            b"a".decode(layout.encoding, errors="replace")
        except (LookupError, UnicodeError):  # hex is of bytes, idna of names of hosts
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

    def _check_used(self) -> None:
        """Refuses flags of a layout that no file given has."""
        for split in manifest.SPLITS[1:]:
            self._check_own(split)
        kinds = {
            self.layout(split).format
            for split in manifest.SPLITS
            if getattr(self, split)
        }
        chosen = knobs.chosen(self)
        self._check_shared(chosen)
        for name in ("columns", "header", "delimiter", "pattern"):
            formats = _READ_BY[name]
            if name in chosen and not kinds.intersection(formats):
                raise ValueError(
                    f"--{name} is for --train, --valid or --test files of --format="
                    f"{' or '.join(formats)}, and there is none"
                )

    def _check_own(self, split: str) -> None:
        """Refuses flags of a split's layout that its files do not have."""
        unused = [] if self._files(split) else ["encoding", "reference_separator"]
        unused += [] if getattr(self, split) else _OF_FILES_OF_PAIRS
        given = [
            name
            for name in (*_OF_FILES_OF_PAIRS, "encoding", "reference_separator")
            if getattr(self, f"{split}_{name}") not in (None, ())
        ]
        kind = self.layout(split).format
        for name in given:
            if name in unused:
                raise ValueError(
                    f"--{split}_{name} is for files of --{split}, and none is given"
                )
            if getattr(self, split) and kind not in _READ_BY.get(name, FORMATS):
                raise ValueError(
                    f"--{split}_{name} is for files of --{split}_format="
                    f"{' or '.join(_READ_BY[name])}, and --{split} is read as {kind}"
                )

    def _check_shared(self, chosen: list[str]) -> None:
        """Refuses what the splits may share where each has its own, or no files."""
        readers = {
            "format": [s for s in manifest.SPLITS if getattr(self, s)],
            "encoding": [s for s in manifest.SPLITS if self._is_decoded(s)],
        }
        for name, splits in readers.items():
            if name in chosen and not any(
                split == "train" or getattr(self, f"{split}_{name}") is None
                for split in splits
            ):
                raise ValueError(
                    f"--{name}={getattr(self, name)}: no file of --train, --valid or "
                    "--test is read by it"
                )

    def _files(self, split: str) -> tuple[str, ...]:
        files: tuple[str, ...] = getattr(self, split) or getattr(self, f"{split}_src")
        return files

    def _is_decoded(self, split: str) -> bool:
        """Returns whether files of a split do not say themselves how to decode them."""
        of_pairs = getattr(self, split)
        kind = self.layout(split).format
        return bool(self._files(split)) and (
            not of_pairs or kind in _READ_BY["encoding"]
        )

    def _check_named(self) -> None:
        given = len(self.train or self.train_src)
        for name in ("train_names", "train_weights"):
            count = len(getattr(self, name))
            if count and self.corpus:
                raise ValueError(
                    f"--{name} is for files, and --corpus={self.corpus} is built in"
                )
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
