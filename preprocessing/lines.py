r"""Lines of text files: plain or `.gz`, of any length and encoding, in bounded memory.

A line ends at `\n` and nowhere else: `str.splitlines` also splits at eight other
characters, some of which are plain text in some languages, and the two sides of a
corpus would come apart. One `\r` before it is dropped, and a byte-order mark at the
beginning of a file.
"""

import codecs
import contextlib
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NamedTuple

import charset_normalizer

from pipeline import exits, files, locations

_BLOCK_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 16
# Encodings in which the byte 0x0A need not be the end of a line.
_WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
_UTF8 = "utf-8"
# Marks at the beginning of a file in such encodings; UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# How compressed content begins; a dot is any byte.
_COMPRESSED = {
    "gzip": rb"\x1f\x8b\x08",
    "bzip2": rb"BZh.(?:1AY&SY|\x17\x72\x45\x38\x50\x90)",
    "xz": rb"\xfd7zXZ\x00",
    "zstd": rb"\x28\xb5\x2f\xfd",
}
_WIDE_LINES = 0.5  # share of a file's lines with a NUL: of UTF-16 nearly all have one
# What corpora are found in, the commonest first: many encodings fit a short text.
_LIKELY = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256"),
    *("koi8_r", "shift_jis", "euc_jp", "euc_kr", "gb18030", "big5", "latin_1"),
]


class FileFacts(NamedTuple):
    """What a first reading of a file found.

    Attributes:
        path: The file.
        bytes: Its size.
        mtime_ns: When it was last changed, in nanoseconds.
        sha256: Of its bytes as they are, compressed ones too.
        lines: Its number of lines; None where they are not counted.
    """

    path: locations.Location
    bytes: int
    mtime_ns: int
    sha256: str
    lines: int | None


class Tally(NamedTuple):
    """What the lines of a file, or of a part of it, were found to be.

    Attributes:
        lines: Their number.
        undecodable: Those that are not of the encoding.
        sample: Some of them.
        with_nul: Those with a NUL in them.
    """

    lines: int
    undecodable: int
    sample: bytes
    with_nul: int = 0


def read(path: locations.Location, max_bytes: int, encoding: str) -> Iterator[bytes]:
    """Yields the lines of a file.

    A line longer than `max_bytes` comes cut to `max_bytes + 1` bytes.

    Args:
        path: The file, `.gz` or plain.
        max_bytes: Bounds the memory.
        encoding: In Python's words. Lines come as the bytes of this encoding, those of
            UTF-16 and UTF-32 as UTF-8.

    Raises:
        exits.Refusal: If a compressed file is damaged or cut short, or UTF-16 or
            UTF-32 cannot be decoded.
    """
    for block in blocks(path, max_bytes, encoding):
        yield from block


def blocks(
    path: locations.Location, max_bytes: int, encoding: str
) -> Iterator[list[bytes]]:
    """Yields the same lines as `read`, many at a time."""
    return split(_raw_blocks(path, encoding), max_bytes, mark=codecs.BOM_UTF8)


def split(
    content: Iterable[bytes], max_bytes: int, *, mark: bytes = b""
) -> Iterator[list[bytes]]:
    """Yields the lines of some bytes, many at a time, wherever the bytes were cut.

    Args:
        content: The bytes, in blocks.
        max_bytes: Longer lines come cut to one byte more.
        mark: What is dropped from the first line.
    """
    keep = max_bytes + 1
    # What may go yet must not count: or a long line could pass for one that fits.
    waiting = keep + len(mark) + len(b"\r")
    rest = b""
    for block in content:
        whole = rest + block
        pieces = whole.split(b"\n")
        rest = pieces.pop()[:waiting]
        if not pieces:
            continue
        if mark:
            pieces[0], mark = pieces[0].removeprefix(mark), b""
        if b"\r" in whole:
            pieces = [piece.removesuffix(b"\r") for piece in pieces]
        if max(map(len, pieces)) > keep:
            pieces = [piece[:keep] for piece in pieces]
        yield pieces
    if rest:
        yield [rest.removeprefix(mark).removesuffix(b"\r")[:keep]]


def is_splittable(path: locations.Location, encoding: str) -> bool:
    r"""Returns whether a reader can begin anywhere: every byte 0x0A ends a line."""
    return not _is_packed(path) and _canonical(encoding) not in _WIDE


def working_encoding(encoding: str) -> str:
    """Returns the encoding of the lines that `read` yields."""
    return _UTF8 if _canonical(encoding) in _WIDE else _canonical(encoding)


def check_content(path: locations.Location, encoding: str | None) -> None:
    """Refuses a file that begins as no text of its encoding does.

    Read as UTF-8, UTF-16 and compressed text have lines too, and held-out ones would be
    kept as they are.

    Args:
        path: The file, `.gz` or plain.
        encoding: Of its text; None where it says that itself.

    Raises:
        exits.Refusal: If its content is compressed, or begins with the mark of UTF-16
            or UTF-32 where it should be UTF-8.
    """
    begin = _begin(path, 16)
    for kind, pattern in _COMPRESSED.items():
        if re.match(pattern, begin, re.DOTALL):
            way_out = "rename or unpack it" if kind == "gzip" else "unpack it"
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{path}: is compressed ({kind}); only files named .gz are unpacked; "
                f"{way_out}",
            )
    if encoding is None or _canonical(encoding) != _UTF8:
        return
    for mark, kind in _MARKS:
        if begin.startswith(mark):
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{path}: looks like {kind}; --encoding={kind} reads it",
            )


def survey(
    path: locations.Location, max_bytes: int, max_reject_fraction: float, encoding: str
) -> FileFacts:
    """Reads a text file to its end, before anything is written: hash, then lines.

    Raises:
        exits.Refusal: If it cannot be read, or if more than `max_reject_fraction` of
            its lines cannot be decoded.
    """
    found = facts(path)
    tally = count(blocks(path, max_bytes, encoding), max_bytes, encoding)
    check_decodable(path, [tally], max_reject_fraction, encoding)
    return found._replace(lines=tally.lines)


def facts(path: locations.Location) -> FileFacts:
    """Returns what can be said of any file, its lines not counted."""
    before = path.stat()
    return FileFacts(path, before.st_size, before.st_mtime_ns, files.sha256(path), None)


def count(found: Iterable[list[bytes]], max_bytes: int, encoding: str) -> Tally:
    """Counts lines and those that cannot be decoded.

    Args:
        found: The lines, many at a time.
        max_bytes: Longer ones were cut, and are not looked at.
        encoding: Of the file.
    """
    total = undecodable = with_nul = 0
    sample = b""
    working = working_encoding(encoding)
    for block in found:
        total += len(block)
        whole = b"\n".join(block)
        if b"\0" in whole:
            with_nul += sum(b"\0" in line for line in block)
        if _decodes(whole, working):
            continue
        bad = [
            line
            for line in block
            if len(line) <= max_bytes and not _decodes(line, working)
        ]
        undecodable += len(bad)
        if len(sample) < _SAMPLE_BYTES:
            sample += b"\n".join(bad)
    return Tally(total, undecodable, sample, with_nul)


def check_decodable(
    path: locations.Location,
    tallies: Sequence[Tally],
    max_reject_fraction: float,
    encoding: str,
) -> None:
    """Refuses a file of which too many lines are not of its encoding.

    So is UTF-8 of which most lines have a NUL in them: UTF-16 without a mark.

    Args:
        path: The file.
        tallies: Of its parts, in order.
        max_reject_fraction: Share of its lines that may be so.
        encoding: What it was said to be.
    """
    total = sum(tally.lines for tally in tallies)
    with_nul = sum(tally.with_nul for tally in tallies)
    limit = max(_WIDE_LINES, max_reject_fraction)
    if _canonical(encoding) == _UTF8 and with_nul > limit * total:
        likely = _likely_wide(_begin(path, _SAMPLE_BYTES))
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{path}: {with_nul} of {total} lines hold a NUL; it looks like {likely}; "
            f"--encoding={likely} reads it, or accept them with --max_reject_fraction",
        )
    undecodable = sum(tally.undecodable for tally in tallies)
    if undecodable > max_reject_fraction * total:
        sample = b"".join(tally.sample for tally in tallies)[: 2 * _SAMPLE_BYTES]
        raise _refused(path, undecodable, total, sample, encoding)


def check_unchanged(facts: list[FileFacts]) -> None:
    """Refuses files that changed since they were surveyed."""
    for fact in facts:
        now = fact.path.stat()
        if (now.st_size, now.st_mtime_ns) != (fact.bytes, fact.mtime_ns):
            raise exits.Refusal(
                exits.BAD_DATA, f"{fact.path}: changed while it was read; build again"
            )


@contextlib.contextmanager
def open_bytes(path: locations.Location) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Opens a file, `.gz` or plain, for reading its content while the block runs."""
    if _is_packed(path) and not path.stat().st_size:
        # gzip would take it for the end of nothing.
        raise damaged(path, EOFError("it is empty, which no .gz file is"))
    with path.open("rb") as file:
        if not _is_packed(path):
            yield file
            return
        with gzip.GzipFile(fileobj=file, mode="rb") as packed:
            yield packed


def damaged(path: locations.Location, error: Exception) -> exits.Refusal:
    """Returns what to say of a file that cannot be read to its end."""
    return exits.Refusal(exits.BAD_DATA, f"{path}: damaged or cut short ({error})")


# What reading a damaged `.gz` raises.
DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)


def _raw_blocks(path: locations.Location, encoding: str) -> Iterator[bytes]:
    """Yields a file's content as it is; UTF-16 and UTF-32 become UTF-8."""
    wide = None
    if _canonical(encoding) in _WIDE:
        wide = codecs.getincrementaldecoder(encoding)()
    with open_bytes(path) as file:
        try:
            while block := file.read(_BLOCK_BYTES):
                yield wide.decode(block).encode() if wide else block
            if wide:
                wide.decode(b"", final=True)
        except DAMAGE as error:
            raise damaged(path, error) from None
        except UnicodeDecodeError as error:
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{path}: is not {encoding} ({error.reason}); see --encoding",
            ) from None


def _is_packed(path: locations.Location) -> bool:
    return path.suffix.lower() == ".gz"


def _begin(path: locations.Location, count: int) -> bytes:
    """Returns the first bytes of a file's content."""
    with open_bytes(path) as file:
        try:
            return file.read(count)
        except DAMAGE as error:
            raise damaged(path, error) from None


def _likely_wide(begin: bytes) -> str:
    r"""Returns what wide encoding a text without a mark is in, by where its NULs are.

    >>> _likely_wide(b"a\0b\0"), _likely_wide(b"\0\0\0a")
    ('utf-16-le', 'utf-32-be')
    """
    bits = 32 if 2 * begin.count(0) > len(begin) else 16
    order = "le" if begin[1::2].count(0) >= begin[::2].count(0) else "be"
    return f"utf-{bits}-{order}"


def _canonical(encoding: str) -> str:
    return codecs.lookup(encoding).name


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeError:
        return False
    return True


def _likely_encoding(sample: bytes) -> str | None:
    """Returns the commonest of the encodings in which a sample looks least odd."""
    matches = charset_normalizer.from_bytes(sample, cp_isolation=_LIKELY)
    least = min((match.percent_chaos for match in matches), default=0.0)
    names = [match.encoding for match in matches if match.percent_chaos <= least]
    return min(names, key=_LIKELY.index, default=None)


def _refused(
    path: locations.Location, undecodable: int, count: int, sample: bytes, encoding: str
) -> exits.Refusal:
    guess = _likely_encoding(sample)
    likely = f"; it looks like {guess}" if guess else ""
    return exits.Refusal(
        exits.BAD_DATA,
        f"{path}: {undecodable} of {count} lines are not {encoding}{likely}; name the "
        "encoding with --encoding, or accept the loss with --max_reject_fraction",
    )
