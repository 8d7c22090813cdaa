import gzip
import io

import pytest

from pipeline import exits
from trainers import lines


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\r\n\nb\x0bc", ["a", "", "b\vc"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (b"\xef\xbb\xbf", [""]),
    ],
    ids=["empty", "blank", "line ends", "mark", "mark alone"],
)
def test_lines_are_those_of_a_corpus(content, expected, tmp_path):
    """FAULTS 11 to 13."""
    assert list(lines.read(io.BytesIO(content), "x")) == expected
    (tmp_path / "text").write_bytes(content)
    assert lines.of_file(tmp_path / "text") == expected


def test_what_is_answered_line_by_line_may_hold_any_byte():
    """FAULTS 58."""
    assert list(lines.read(io.BytesIO(b"a\xff\n"), "x")) == ["a\ufffd"]


def _refusal(path) -> str:
    with pytest.raises(exits.Refusal) as refused:
        lines.of_file(path)
    assert refused.value.code == 65
    return str(refused.value)


def test_a_file_to_score_that_is_not_utf_8_is_refused_at_its_byte(tmp_path):
    """FAULTS 7."""
    path = tmp_path / "ref"
    path.write_bytes(
        "\ufeffein Mädchen\n".encode() + "ein Mädchen\r\n".encode("cp1252")
    )
    told = _refusal(path)
    assert told.startswith(f"{path}:2: byte 6 of the line, 0xE4, is not UTF-8; ")
    assert f"iconv -f LATIN1 -t UTF-8 {path}" in told


def test_a_compressed_file_to_score_is_refused_whatever_its_name(tmp_path):
    path = tmp_path / "ref"
    path.write_bytes(gzip.compress(b"a\n"))
    assert _refusal(path) == f"{path}: is compressed; unpack it, as with gunzip -k"
    with pytest.raises(exits.Refusal, match="stdin: is compressed") as refused:
        list(lines.read(io.BytesIO(path.read_bytes()), "stdin"))
    assert refused.value.code == exits.BAD_DATA
