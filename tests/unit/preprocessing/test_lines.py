import bz2
import gzip
import lzma
import re

import pytest

from pipeline import exits
from preprocessing import lines


def _lines(path, content: bytes, max_bytes: int = 1000) -> list[bytes]:
    path.write_bytes(content)
    return list(lines.read(path, max_bytes, "utf-8"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"a\r\r\n", [b"a\r"]),
        (b"a\x0b\x0c\x85b\n", [b"a\x0b\x0c\x85b"]),
        ("a\u2028b\u2029c\x85d\n".encode(), ["a\u2028b\u2029c\x85d".encode()]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", [b"a", b"\xef\xbb\xbfb"]),
        (b"\n\n", [b"", b""]),
        (b"", []),
        (b"a\0b\n", [b"a\0b"]),
    ],
)
def test_lines_end_at_newlines_and_nowhere_else(tmp_path, content, expected):
    """FAULTS 8, 11, 12 and 13."""
    assert _lines(tmp_path / "a.txt", content) == expected
    packed = tmp_path / "a.txt.gz"
    packed.write_bytes(gzip.compress(content))
    assert list(lines.read(packed, 1000, "utf-8")) == expected


def test_a_long_line_is_cut_and_the_next_one_whole(tmp_path):
    """FAULTS 14."""
    content = b"x" * 5_000_000 + b"\nshort\n"
    found = _lines(tmp_path / "a.txt", content, max_bytes=100)
    assert [len(line) for line in found] == [101, 5]


def test_lines_across_read_blocks_are_whole(tmp_path):
    wanted = [b"%d" % number * 50 for number in range(20_000)]
    assert _lines(tmp_path / "a.txt", b"\n".join(wanted) + b"\n") == wanted


def test_members_of_a_gzip_file_are_read_one_after_the_other(tmp_path):
    """FAULTS 15."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    assert list(lines.read(path, 100, "utf-8")) == [b"a", b"b"]


@pytest.mark.parametrize("keep", [0, 5, 30, -9, -1])
def test_a_cut_gzip_file_is_refused(tmp_path, keep):
    """FAULTS 15."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"some text\n" * 1000)[:keep])
    with pytest.raises(exits.Refusal, match="a.gz: damaged or cut short") as error:
        list(lines.read(path, 100, "utf-8"))
    assert error.value.code == exits.BAD_DATA


def test_a_carriage_return_between_two_blocks_is_dropped(tmp_path):
    line = b"x" * ((1 << 20) - 1) + b"\r\n"
    assert _lines(tmp_path / "a.txt", line + b"y\r\n", 1 << 21) == [line[:-2], b"y"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_wide_encodings_are_split_at_newlines_and_come_as_utf_8(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes("é \u0a0a\nb\u2028c\r\n".encode(encoding))
    found = list(lines.read(path, 100, encoding))
    assert [line.decode() for line in found] == ["é \u0a0a", "b\u2028c"]


def test_what_is_not_utf_16_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\x00\xd8a")
    with pytest.raises(exits.Refusal, match="is not utf-16-le"):
        list(lines.read(path, 100, "utf-16-le"))


def test_a_file_of_another_encoding_is_refused_and_the_likely_one_named(tmp_path):
    """FAULTS 7: a Latin-1 file must not melt away; --encoding reads it."""
    path = tmp_path / "a.txt"
    text = "Les élèves étaient très fatigués après la fête à l'école.\n" * 30
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(
        exits.Refusal, match="30 of 30 lines are not utf-8; it"
    ) as error:
        lines.survey(path, 1000, 0.05, "utf-8")
    (likely,) = re.findall(r"looks like (\S+);", str(error.value))
    assert path.read_bytes().decode(likely) == text
    assert lines.survey(path, 1000, 0.05, "latin-1").lines == 30
    assert lines.survey(path, 1000, 1.0, "utf-8").lines == 30


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["le", "be"])
def test_a_file_with_the_mark_of_utf_16_is_refused_and_the_option_reads_it(
    tmp_path, encoding, order
):
    path = tmp_path / "a.txt.GZ"
    path.write_bytes(gzip.compress("\ufeffé b\nc\n".encode(f"{encoding}-{order}")))
    with pytest.raises(exits.Refusal, match="a.txt.GZ: looks like") as error:
        lines.check_content(path, "utf-8")
    assert error.value.code == exits.BAD_DATA
    (asked,) = re.findall(r"--encoding=(\S+) reads it", str(error.value))
    lines.check_content(path, asked)
    found = [line.decode() for line in lines.read(path, 100, asked)]
    assert found == ["é b", "c"]


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("order", ["le", "be"])
def test_of_a_file_full_of_nuls_the_likely_encoding_is_named_and_reads_it(
    tmp_path, bits, order
):
    path = tmp_path / "a.txt"
    path.write_bytes("été beau\nmore\n".encode(f"utf-{bits}-{order}") * 30)
    with pytest.raises(
        exits.Refusal, match=r"of 6\d lines hold a NUL; it looks"
    ) as error:
        lines.survey(path, 1000, 0.05, "utf-8")
    (likely,) = re.findall(r"--encoding=(\S+) reads it", str(error.value))
    assert lines.survey(path, 1000, 0.05, likely).lines == 60
    found = lines.read(path, 1000, likely)
    assert [line.decode() for line in found] == ["été beau", "more"] * 30


def test_some_nuls_and_those_that_are_accepted_are_no_other_encoding(tmp_path):
    """FAULTS 8."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\0b\nc\n" * 9)
    assert lines.survey(path, 1000, 0.0, "utf-8").lines == 18
    path.write_bytes(b"a\0b\n" * 9)
    with pytest.raises(exits.Refusal, match="9 of 9 lines hold a NUL; .*accept them"):
        lines.survey(path, 1000, 0.9, "utf-8")
    assert lines.survey(path, 1000, 1.0, "utf-8").lines == 9
    assert lines.survey(path, 1000, 0.0, "latin-1").lines == 9


@pytest.mark.parametrize(
    ("kind", "packed"),
    [
        ("gzip", gzip.compress(b"some text\n", mtime=0)),
        ("bzip2", bz2.compress(b"some text\n")),
        ("bzip2", bz2.compress(b"")),
        ("xz", lzma.compress(b"some text\n")),
        ("zstd", bytes.fromhex("28b52ffd200a510000") + b"some text\n"),
    ],
    ids=["gzip", "bzip2", "empty bzip2", "xz", "zstd"],
)
def test_compressed_content_under_another_name_is_refused(tmp_path, kind, packed):
    path = tmp_path / "a.txt"
    path.write_bytes(packed)
    with pytest.raises(exits.Refusal, match=rf"a.txt: is compressed \({kind}\); only"):
        lines.check_content(path, "latin-1")
    path.write_bytes(b"BZh1 is how a bzip2 file begins\n")
    lines.check_content(path, "utf-8")


def test_lines_that_an_encoding_fails_on_in_its_own_way_are_counted(tmp_path):
    """IDNA's errors are of no byte."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"good.\nx.xn--0.\n")
    assert lines.survey(path, 1000, 0.5, "idna").lines == 2
    with pytest.raises(exits.Refusal, match="1 of 2 lines are not idna"):
        lines.survey(path, 1000, 0.4, "idna")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    """FAULTS 16."""
    path = tmp_path / "a.txt"
    path.write_text("a\n")
    facts = [lines.survey(path, 1000, 0.05, "utf-8")]
    lines.check_unchanged(facts)
    path.write_text("b and more\n")
    with pytest.raises(exits.Refusal, match="changed while it was read"):
        lines.check_unchanged(facts)


@pytest.mark.parametrize("size", [101, 102, 103, 104, 105, 5_000_000])
@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_where_a_block_ends_does_not_make_a_long_line_a_short_one(size, ending):
    """What is dropped, a byte-order mark or a carriage return, once counted."""
    mark = b"\xef\xbb\xbf"
    content = mark + b"x" * (size - 1) + b"\r"[: size % 2] + ending
    (whole,) = lines.split([content], 100, mark=mark)
    for cut in (1, 4, 100, 103, 104, 105, size, size + 2):
        parts = [content[:cut], content[cut:]]
        found = [line for block in lines.split(parts, 100, mark=mark) for line in block]
        assert found == whole
