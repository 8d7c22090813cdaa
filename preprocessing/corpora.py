"""Corpora: where raw pairs come from, as sources.

flags                          sources
--train=a.tsv,b.tsv      ->    a.tsv (train), b.tsv (train)
--valid_src --valid_tgt  ->    valid.en | valid.de (valid)
"""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

from pipeline import exits, locations, manifest
from preprocessing import (
    built_in,
    corpus_config,
    file_formats,
    globs,
    line_formats,
    lines,
    rows,
)

_TRAIN = "train"
_SAY_ENCODING = ("tmx", "parquet")  # formats of which a file says its own
_DEFAULT_NAMES = {"pairs": ("src", "tgt"), "labels": ("text", "label")}


@dataclasses.dataclass(frozen=True)
class Source:
    """One corpus: a file, files that belong together, or a built-in one.

    Attributes:
        name: For messages, the manifest and the rejects file; a source of other files
            has another one.
        split: `train`, `valid`, `test`, or None where each row is dealt by its hash.
        weight: How often each training pair is written.
        files: The files it reads.
        encodings: Of the files; empty where they are not text.
        reader: Takes a line apart, in formats with a row on each line.
        header_lines: Lines before the first row.
        read_rows: Yields the rows, in all other formats.
        corpus: What `--split_by=line` deals its rows by: its name as it is wherever the
            files lie and whatever else is read. Empty for `name`.
    """

    name: str
    split: str | None
    weight: float
    files: tuple[locations.Location, ...]
    encodings: tuple[str, ...] = ()
    reader: line_formats.LineReader | None = None
    header_lines: int = 0
    read_rows: Callable[[], Iterator[rows.Row]] | None = None
    corpus: str = ""

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
        exits.Refusal: If a file is missing, is compressed or begins as another
            encoding does, has no such columns, or the sides do not pair up.
    """
    if corpus.corpus:
        return _built_in(corpus.corpus)
    found: list[Source] = []
    dealt = corpus.valid_fraction or corpus.test_fraction
    for split in manifest.SPLITS:
        deal = None if dealt and split == _TRAIN else split
        layout = corpus.layout(split)
        groups = _groups(corpus, split, task)
        _check_contents(corpus, split, groups)
        make: Callable[[tuple[locations.Location, ...]], Source]
        make = functools.partial(_parallel, layout)
        if getattr(corpus, split):
            make = functools.partial(_single, layout, task, max_bytes)
        found += [
            dataclasses.replace(
                _several_references(make(paths), layout.reference_separator),
                name=name,
                split=deal,
                weight=weight,
            )
            for (name, weight), group in zip(_named(corpus, split), groups, strict=True)
            for paths in group
        ]
    return _told_apart(found)


def _groups(
    corpus: corpus_config.CorpusConfig, split: str, task: str
) -> list[list[tuple[locations.Location, ...]]]:
    """Returns, for each file or glob given, the files of each of its sources."""
    if given := getattr(corpus, split):
        return [
            [(path,) for path in globs.matches(split, pattern)] for pattern in given
        ]
    groups = _parallel_groups(corpus, split)
    sizes = {len(paths) for group in groups for paths in group}
    if task == "labels" and sizes - {2}:
        raise exits.Refusal(
            exits.USAGE,
            f"--{split}_tgt names more files than --{split}_src: with "
            "--task=labels a text has one label",
        )
    return groups


def _check_contents(
    corpus: corpus_config.CorpusConfig,
    split: str,
    groups: Sequence[Sequence[tuple[locations.Location, ...]]],
) -> None:
    """Refuses files of a split that begin as no text of their encoding does."""
    layout = corpus.layout(split)
    says_itself = getattr(corpus, split) and layout.format in _SAY_ENCODING
    for group in groups:
        for path in itertools.chain(*group):
            lines.check_content(path, None if says_itself else layout.encoding)


def _told_apart(found: Sequence[Source]) -> list[Source]:
    """Returns the sources with names: those given, and what tells their files apart."""
    alike = collections.defaultdict[str, list[Source]](list)
    for source in found:
        alike[source.name or _ends(source, 1)].append(source)
    depths = {corpus: _depth(group) for corpus, group in alike.items()}
    named = []
    for source in found:
        corpus = source.name or _ends(source, 1)
        name = corpus
        if depth := depths[corpus]:
            name = f"{source.name}:" * bool(source.name) + _ends(source, depth)
        named.append(
            dataclasses.replace(
                source, name=shown_name(name), corpus=shown_name(corpus)
            )
        )
    return named


def _depth(alike: Sequence[Source]) -> int:
    """Returns how many parts of their paths tell sources of a name apart.

    0 where they need not, or, of the same files, cannot be told apart.
    """
    deepest = max(len(_parts(path)) for source in alike for path in source.files)
    counts = [
        len({_ends(source, depth) for source in alike})
        for depth in range(1, deepest + 1)
    ]
    return 1 + counts.index(max(counts)) if max(counts) > 1 else 0


def _ends(source: Source, depth: int) -> str:
    """Returns the last parts of the paths of a source's files."""
    return " | ".join("/".join(_parts(path)[-depth:]) for path in source.files)


def _parts(path: locations.Location) -> list[str]:
    return str(path).split("/")


def survey(
    source: Source, max_bytes: int, max_reject_fraction: float
) -> list[lines.FileFacts]:
    """Reads the files of a source to their ends, before anything is written.

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


def _parallel_groups(
    corpus: corpus_config.CorpusConfig, split: str
) -> list[list[tuple[locations.Location, ...]]]:
    """Returns, for each source file or glob given, the files that belong together."""
    patterns = [getattr(corpus, f"{split}_{side}") for side in ("src", "tgt")]
    src, by_tgt = [
        [globs.matches(f"{split}_{side}", pattern) for pattern in given]
        for side, given in zip(("src", "tgt"), patterns, strict=True)
    ]
    tgt = [path for group in by_tgt for path in group]
    count = sum(map(len, src))
    fits = len(tgt) == count if split == _TRAIN else count and len(tgt) % count == 0
    if (count or tgt) and not fits:
        raise exits.Refusal(
            exits.BAD_DATA,
            f"--{split}_src names {count} files and --{split}_tgt {len(tgt)}; "
            "they are read in pairs",
        )
    times = len(by_tgt) // max(1, len(src))
    if list(map(len, src)) * times == list(map(len, by_tgt)):
        for index, group in enumerate(by_tgt):
            number = index % len(src)
            asked = (patterns[0][number], patterns[1][index])
            globs.check_pairs(split, asked, (src[number], group))
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
    if layout.format == "csv":
        return file_formats.csv_header(path, layout)
    working = lines.working_encoding(layout.encoding)
    for line in lines.read(path, 1 << 16, layout.encoding):
        return line.decode(working, errors="replace").split("\t")
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
        for split in manifest.SPLITS
    ]


def _iterate(name: str, split: str) -> Iterator[rows.Row]:
    yield from built_in.read(name, split)
