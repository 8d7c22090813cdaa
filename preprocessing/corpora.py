r"""Corpora: where raw pairs come from, as one stream of rows.

A line ends at `\n` and nowhere else: `str.splitlines` also splits at eight other
characters, some of which are plain text in some languages, and the two sides of a
corpus would come apart. One `\r` before it is dropped, and a byte-order mark at the
beginning of a file.
"""

import codecs
import dataclasses
import glob
import gzip
import hashlib
import pathlib
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

import charset_normalizer

from pipeline import exits, files
from preprocessing import config, number_words, pronunciations

_BLOCK_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 16

# Built-in corpora: examples of the test and of the valid split; the rest is train.
_HELD_OUT = {"cmudict": (12_000, 2_670), "numbers": (1_000, 500)}
_NUM_NUMBERS = 20_000


class Row(NamedTuple):
    """One pair as read: undecoded, uncleaned.

    Attributes:
        line: Its line in the file, from 1.
        src: The source.
        references: The targets, one or more; none where the line has no such column.
    """

    line: int
    src: bytes
    references: tuple[bytes, ...]


class FileFacts(NamedTuple):
    """What a first reading of a file found."""

    path: pathlib.Path
    bytes: int
    mtime_ns: int
    sha256: str
    lines: int


@dataclasses.dataclass(frozen=True)
class Source:
    """Rows of one file, or pair of files, or built-in corpus.

    Attributes:
        name: For messages and the rejects file.
        split: `train`, `valid`, `test`, or None where each row is dealt by its hash.
        files: The files it reads.
        rows: Opens the source and yields its rows in order.
    """

    name: str
    split: str | None
    files: tuple[pathlib.Path, ...]
    rows: Callable[[], Iterator[Row]]


def sources(corpus: config.CorpusConfig, max_bytes: int) -> list[Source]:
    """Returns the sources that a config names, train first.

    Args:
        corpus: The config.
        max_bytes: Longer lines are cut to one byte more, which cleaning rejects.

    Raises:
        exits.Refusal: If a file is missing, or the sides do not pair up.
    """
    if corpus.corpus:
        return _built_in(corpus.corpus)
    found: list[Source] = []
    columns = tuple(int(column) - 1 for column in corpus.columns)
    dealt = corpus.valid_fraction or corpus.test_fraction
    for split in ("train", "valid", "test"):
        deal = None if dealt and split == "train" else split
        found += [
            _tsv(path, deal, columns, max_bytes)
            for path in _paths(split, getattr(corpus, split))
        ]
        src = _paths(f"{split}_src", getattr(corpus, f"{split}_src"))
        tgt = _paths(f"{split}_tgt", getattr(corpus, f"{split}_tgt"))
        if len(src) != len(tgt):
            raise exits.Refusal(
                exits.BAD_DATA,
                f"--{split}_src names {len(src)} files and --{split}_tgt {len(tgt)}; "
                "they are read in pairs",
            )
        found += [
            _parallel(one, other, deal, max_bytes)
            for one, other in zip(src, tgt, strict=True)
        ]
    return found


def survey(
    source: Source, max_bytes: int, max_reject_fraction: float
) -> list[FileFacts]:
    """Reads the files of a source once, before anything is written.

    Raises:
        exits.Refusal: If a file cannot be read, is mostly undecodable, or if the sides
            have different numbers of lines.
    """
    facts = [_facts(path, max_bytes, max_reject_fraction) for path in source.files]
    if len(facts) == 2 and facts[0].lines != facts[1].lines:
        one, other = facts
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{one.path} has {one.lines} lines and {other.path} has {other.lines}; "
            "line by line they must be pairs",
        )
    return facts


def check_unchanged(facts: list[FileFacts]) -> None:
    """Refuses files that changed since they were surveyed."""
    for fact in facts:
        now = fact.path.stat()
        if (now.st_size, now.st_mtime_ns) != (fact.bytes, fact.mtime_ns):
            raise exits.Refusal(
                exits.BAD_DATA, f"{fact.path}: changed while it was read; build again"
            )


def lines(path: pathlib.Path, max_bytes: int) -> Iterator[bytes]:
    """Yields the lines of a file, `.gz` or plain, in bounded memory.

    A line longer than `max_bytes` comes cut to `max_bytes + 1` bytes.

    Raises:
        exits.Refusal: If a compressed file is damaged or cut short.
    """
    keep = max_bytes + 1
    begin = codecs.BOM_UTF8
    rest = b""
    with _open(path) as file:
        try:
            while block := file.read(_BLOCK_BYTES):
                pieces = (rest + block).split(b"\n")
                rest = pieces.pop()[:keep]
                for piece in pieces:
                    yield piece.removeprefix(begin).removesuffix(b"\r")[:keep]
                    begin = b""
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise exits.Refusal(
                exits.BAD_DATA, f"{path}: damaged or cut short ({error})"
            ) from None
    if rest:
        yield rest.removeprefix(begin).removesuffix(b"\r")


def _paths(flag: str, patterns: tuple[str, ...]) -> list[pathlib.Path]:
    found = []
    for pattern in patterns:
        names = [pattern]
        if glob.has_magic(pattern):
            names = sorted(glob.glob(pattern))  # noqa: PTH207 - absolute patterns too
        if not names:
            raise exits.Refusal(
                exits.MISSING_INPUT, f"--{flag}={pattern}: no file has such a name"
            )
        for name in names:
            path = pathlib.Path(name)
            if not path.is_file():
                what = "is a directory" if path.is_dir() else "no such file"
                raise exits.Refusal(exits.MISSING_INPUT, f"--{flag}={name}: {what}")
            found.append(path)
    return found


def _open(path: pathlib.Path) -> IO[bytes] | gzip.GzipFile:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")


def _facts(path: pathlib.Path, max_bytes: int, max_reject_fraction: float) -> FileFacts:
    before = path.stat()
    count = undecodable = 0
    sample = b""
    for line in lines(path, max_bytes):
        count += 1
        try:
            line.decode()
        except UnicodeDecodeError:
            undecodable += len(line) <= max_bytes
            if len(sample) < _SAMPLE_BYTES:
                sample += line + b"\n"
    if undecodable > max_reject_fraction * count:
        guess = charset_normalizer.from_bytes(sample).best()
        likely = f"; it looks like {guess.encoding}" if guess else ""
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{path}: {undecodable} of {count} lines are not UTF-8{likely}; convert it "
            "(iconv -t UTF-8), or accept the loss with --max_reject_fraction",
        )
    return FileFacts(
        path, before.st_size, before.st_mtime_ns, files.sha256(path), count
    )


def _parallel(
    src: pathlib.Path, tgt: pathlib.Path, split: str | None, max_bytes: int
) -> Source:
    def rows() -> Iterator[Row]:
        sides = zip(lines(src, max_bytes), lines(tgt, max_bytes), strict=True)
        for number, (one, other) in enumerate(sides, start=1):
            yield Row(number, one, (other,))

    return Source(f"{src.name} | {tgt.name}", split, (src, tgt), rows)


def _tsv(
    path: pathlib.Path, split: str | None, columns: tuple[int, ...], max_bytes: int
) -> Source:
    src, tgt = columns
    needed = max(columns) + 1

    def rows() -> Iterator[Row]:
        for number, line in enumerate(lines(path, 2 * max_bytes), start=1):
            fields = line.split(b"\t")
            if len(fields) < needed:
                yield Row(number, line, ())
            else:
                yield Row(number, fields[src], (fields[tgt],))

    return Source(path.name, split, (path,), rows)


def _built_in(name: str) -> list[Source]:
    if name == "cmudict":
        path = pronunciations.data_file()
        groups = list(pronunciations.read(path).items())
        file: tuple[pathlib.Path, ...] = (path,)
    else:
        groups = [(src, [tgt]) for src, tgt in number_words.pairs(_NUM_NUMBERS)]
        file = ()
    by_hash = sorted(
        groups, key=lambda group: hashlib.sha256(group[0].encode()).digest()
    )
    num_test, num_valid = _HELD_OUT[name]
    parts = {
        "test": by_hash[:num_test],
        "valid": by_hash[num_test : num_test + num_valid],
        "train": by_hash[num_test + num_valid :],
    }

    def reader(split: str) -> Callable[[], Iterator[Row]]:
        def rows() -> Iterator[Row]:
            entries = [
                (word.encode(), tuple(variant.encode() for variant in variants))
                for word, variants in parts[split]
            ]
            if split == "train":  # a pair for each variant to learn from
                entries = [(src, (one,)) for src, many in entries for one in many]
            for number, (src, references) in enumerate(entries, start=1):
                yield Row(number, src, references)

        return rows

    return [
        Source(
            f"{name} {split}", split, file if split == "train" else (), reader(split)
        )
        for split in ("train", "valid", "test")
    ]
