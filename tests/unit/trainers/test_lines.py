import io

import pytest

from trainers import lines


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\r\n\nb\x0bc", ["a", "", "b\vc"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (b"\xef\xbb\xbf", [""]),
        (b"a\xff\n", ["a\ufffd"]),
    ],
    ids=["empty", "blank", "line ends", "mark", "mark alone", "not UTF-8"],
)
def test_lines_are_those_of_a_corpus(content, expected, tmp_path):
    """FAULTS 11 to 13."""
    assert list(lines.read(io.BytesIO(content))) == expected
    (tmp_path / "text").write_bytes(content)
    assert lines.of_file(tmp_path / "text") == expected
