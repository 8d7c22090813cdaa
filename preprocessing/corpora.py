"""Corpora: where raw pairs come from, as sources.

flags                          sources
--train=a.tsv,b.tsv      ->    a.tsv (train), b.tsv (train)
--valid_src --valid_tgt  ->    valid.en | valid.de (valid)
"""

import csv
import dataclasses
import functools
import glob
import itertools
from collections.abc import Callable, Iterator, Sequence

from pipeline import exits, locations
from preprocessing import (
    built_in,
    corpus_config,
    file_formats,
    line_formats,
    lines,
    rows,
)

_TRAIN = "train"
_DEFAULT_NAMES = {"pairs": ("src", "tgt"), "labels": ("text", "label")}


@dataclasses.dataclass(frozen=True)
class Source:
    """One corpus: a file, files that belong together, or a built-in one.

    Attributes:
        name: For messages, the manifest and the rejects file.
        split: `train`, `valid`, `test`, or None where each row is dealt by its hash.
        weight: How often each training pair is written.
        files: The files it reads.
        encodings: Of the files; empty where they are not text.
        reader: Takes a line apart, in formats with a row on each line.
        header_lines: Lines before the first row.
        read_rows: Yields the rows, in all other formats.
    """

    name: str
    split: str | None
    weight: float
    files: tuple[locations.Location, ...]
    encodings: tuple[str, ...] = ()
    reader: line_formats.LineReader | None = None
    header_lines: int = 0
    read_rows: Callable[[], Iterator[rows.Row]] | None = None

    @property
    def may_train(self) -> bool:
        """Whether training pairs can come from it."""
        return self.split in (None, _TRAIN)


def sources(
    corpus: corpus_config.CorpusConfig, task: str, max_bytes: int
) -> list[Source]:
    """Returns the sources that a config names, train first.

    Args:
        corpus: The config.
        task: `pairs` or `labels`.
        max_bytes: Longer lines are cut to one byte more, which cleaning rejects.

    Raises:
        exits.Refusal: If a file is missing, has no such columns, or the sides do not
            pair up.
    """
    if corpus.corpus:
        return _built_in(corpus.corpus)
    found: list[Source] = []
    dealt = corpus.valid_fraction or corpus.test_fraction
    for split in ("train", "valid", "test"):
        deal = None if dealt and split == _TRAIN else split
        layout = corpus.layout(split)
        named = _named(corpus, split)
        groups: list[list[tuple[locations.Location, ...]]]
        make: Callable[[tuple[locations.Location, ...]], Source]
        if getattr(corpus, split):
            groups = [
                [(path,) for path in _matches(split, pattern)]
                for pattern in getattr(corpus, split)
            ]
            make = functools.partial(_single, layout, task, max_bytes)
        else:
            groups = _parallel_groups(corpus, split)
            make = functools.partial(_parallel, layout)
            sizes = {len(paths) for group in groups for paths in group}
            if task == "labels" and sizes - {2}:
                raise exits.Refusal(
                    exits.USAGE,
                    f"--{split}_tgt names more files than --{split}_src: with "
                    "--task=labels a text has one label",
                )
        found += [
            dataclasses.replace(
                _several_references(make(paths), layout.reference_separator),
                name=shown_name(name or " | ".join(path.name for path in paths)),
                split=deal,
                weight=weight,
            )
            for (name, weight), group in zip(named, groups, strict=True)
            for paths in group
        ]
    return found


def survey(
    source: Source, max_bytes: int, max_reject_fraction: float
) -> list[lines.FileFacts]:
    """Reads the files of a source once, before anything is written.

    Raises:
        exits.Refusal: If a file cannot be read, is mostly undecodable, or if the sides
            have different numbers of lines.
    """
    if not source.encodings:
        return [lines.facts(path) for path in source.files]
    facts = [
        lines.survey(path, max_bytes, max_reject_fraction, encoding)
        for path, encoding in zip(source.files, source.encodings, strict=True)
    ]
    check_same_lines(facts)
    return facts


def check_same_lines(facts: Sequence[lines.FileFacts]) -> None:
    """Refuses files of one source that have different numbers of lines."""
    for other in facts[1:]:
        if other.lines != facts[0].lines:
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{facts[0].path} has {facts[0].lines} lines and {other.path} has "
                f"{other.lines}; line by line they must be pairs",
            )


def num_rows(source: Source, facts: Sequence[lines.FileFacts]) -> int | None:
    """Returns how many rows a source has, None where only reading it can tell."""
    if source.reader is None or facts[0].lines is None:
        return None
    return max(0, facts[0].lines - source.header_lines)


def shown_name(name: str) -> str:
    r"""Returns a file's name as text of one field, whatever bytes it is of.

    >>> shown_name("a\tb"), shown_name("caf\udce9")
    ('a\\tb', 'caf\\xe9')
    """
    named = name.encode("utf-8", "surrogateescape")  # as Python reads file names
    text = named.decode("utf-8", "backslashreplace")
    return text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _named(corpus: corpus_config.CorpusConfig, split: str) -> list[tuple[str, float]]:
    """Returns name and weight for each file or glob that was given for a split."""
    count = len(getattr(corpus, split) or getattr(corpus, f"{split}_src"))
    if split != _TRAIN:
        return [("", 1.0)] * count
    names = corpus.train_names or ("",) * count
    weights = corpus.train_weights or ("1",) * count
    return [(name, float(weight)) for name, weight in zip(names, weights, strict=True)]


def _matches(flag: str, pattern: str) -> list[locations.Location]:
    found = [locations.locate(pattern)]
    if glob.has_magic(pattern) and not found[0].is_file():  # a name may hold brackets
        if isinstance(found[0], locations.RemotePath):
            found = list(found[0].parent.glob(found[0].name))
        else:
            names = sorted(glob.glob(pattern))  # noqa: PTH207 - absolute patterns too
            found = list(map(locations.locate, names))
    if not found:
        raise exits.Refusal(
            exits.MISSING_INPUT, f"--{flag}={pattern}: no file has such a name"
        )
    for path in found:
        if not path.is_file():
            what = "is a directory" if path.is_dir() else "no such file"
            raise exits.Refusal(exits.MISSING_INPUT, f"--{flag}={path}: {what}")
    return found


def _parallel_groups(
    corpus: corpus_config.CorpusConfig, split: str
) -> list[list[tuple[locations.Location, ...]]]:
    """Returns, for each source file or glob given, the files that belong together."""
    src = [
        _matches(f"{split}_src", pattern) for pattern in getattr(corpus, f"{split}_src")
    ]
    tgt = [
        path
        for pattern in getattr(corpus, f"{split}_tgt")
        for path in _matches(f"{split}_tgt", pattern)
    ]
    count = sum(map(len, src))
    fits = len(tgt) == count if split == _TRAIN else count and len(tgt) % count == 0
    if (count or tgt) and not fits:
        raise exits.Refusal(
            exits.BAD_DATA,
            f"--{split}_src names {count} files and --{split}_tgt {len(tgt)}; "
            "they are read in pairs",
        )
    numbers = itertools.count()
    return [[(path, *tgt[next(numbers) :: count]) for path in group] for group in src]


def _parallel(
    layout: corpus_config.Layout, paths: tuple[locations.Location, ...]
) -> Source:
    working = (lines.working_encoding(layout.encoding),) * len(paths)
    return Source(
        name="",
        split=None,
        weight=1,
        files=paths,
        encodings=(layout.encoding,) * len(paths),
        reader=line_formats.Parallel(working),
    )


def _single(
    layout: corpus_config.Layout,
    task: str,
    max_bytes: int,
    paths: tuple[locations.Location, ...],
) -> Source:
    """Returns the source of one file, its columns resolved."""
    (path,) = paths
    working = lines.working_encoding(layout.encoding)
    names = layout.columns or _DEFAULT_NAMES[task]
    labels = task == "labels"
    source = Source("", None, 1, paths, encodings=(layout.encoding,))
    if layout.format == "tsv":
        return dataclasses.replace(
            source,
            reader=line_formats.Tsv(_positions(path, layout), working),
            header_lines=int(layout.header),
        )
    if layout.format == "jsonl":
        reader: line_formats.LineReader = line_formats.JsonLines(names, labels, working)
        return dataclasses.replace(source, reader=reader)
    if layout.format == "regex":
        reader = line_formats.Regex(layout.pattern or "", working)
        return dataclasses.replace(source, reader=reader)
    if layout.format == "csv":
        columns = _positions(path, layout)
        read = functools.partial(
            file_formats.read_csv, path, layout, columns, max_bytes
        )
        return dataclasses.replace(source, read_rows=read)
    read_other: dict[str, Callable[[], Iterator[rows.Row]]] = {
        "tmx": functools.partial(file_formats.read_tmx, path, layout.columns),
        "po": functools.partial(file_formats.read_po, path, layout.encoding),
        "parquet": functools.partial(
            file_formats.read_parquet, path, names, labels=labels
        ),
    }
    return dataclasses.replace(
        source, encodings=(), read_rows=read_other[layout.format]
    )


def _several_references(source: Source, separator: str | None) -> Source:
    """Returns a source of which one place holds several references, if it does."""
    if separator is None:
        return source
    if source.reader is not None:
        reader = line_formats.SeveralReferences(source.reader, separator)
        return dataclasses.replace(source, reader=reader)
    assert source.read_rows is not None
    parted = functools.partial(_parted_rows, source.read_rows, separator.encode())
    return dataclasses.replace(source, read_rows=parted)


def _parted_rows(
    read: Callable[[], Iterator[rows.Row]], separator: bytes
) -> Iterator[rows.Row]:
    for row in read():
        yield rows.parted(row, separator)


def _positions(
    path: locations.Location, layout: corpus_config.Layout
) -> tuple[tuple[int, ...], ...]:
    """Returns the positions of the columns, from 0; names are looked up in the header.

    Raises:
        exits.Refusal: If the header has no such name.
    """
    columns = layout.columns or ("1", "2")
    names = _header(path, layout) if layout.header else []

    def position(name: str) -> int:
        if name in names:
            return names.index(name)
        if name.isdecimal() and name != "0":
            return int(name) - 1
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{path}: has no column {name!r}, its first line has {names}; see "
            "--columns and --header",
        )

    return tuple(
        (position(column),)
        if column in names
        else tuple(position(name) for name in column.split("+"))
        for column in columns
    )


def _header(path: locations.Location, layout: corpus_config.Layout) -> list[str]:
    working = lines.working_encoding(layout.encoding)
    for line in lines.read(path, 1 << 16, layout.encoding):
        text = line.decode(working, errors="replace")
        if layout.format == "tsv":
            return text.split("\t")
        return next(csv.reader([text], delimiter=layout.delimiter), [])
    return []


def _built_in(name: str) -> list[Source]:
    return [
        Source(
            name=f"{name} {split}",
            split=split,
            weight=1,
            files=built_in.files(name) if split == _TRAIN else (),
            read_rows=functools.partial(_iterate, name, split),
        )
        for split in ("train", "valid", "test")
    ]


def _iterate(name: str, split: str) -> Iterator[rows.Row]:
    yield from built_in.read(name, split)
