import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing import cleaning, config, line_formats

JSON = b'{"a": "%s", "b": "x"}'
SCAN = r"IN: (?P<src>.*) OUT: (?P<tgt>.*)"
TREC = r"(?P<label>\w+):\S+ (?P<text>.*)"


def _json(content, *columns: str, labels: bool = False):
    reader = line_formats.JsonLines(columns or ("src", "tgt"), labels, "utf-8")
    row = reader.row(7, [json.dumps(content).encode()])
    return row.problem or (row.src.decode(), *[one.decode() for one in row.references])


@pytest.mark.parametrize(
    ("content", "columns", "expected"),
    [
        ({"src": "a", "tgt": "x"}, (), ("a", "x")),
        ({"t": {"en": "a", "fr": "x"}}, ("t.en", "t.fr"), ("a", "x")),
        ({"a.b": "a", "tgt": "x"}, ("a.b", "tgt"), ("a", "x")),
        ({"src": ["a", "b"], "tgt": ["x", "y"]}, (), ("a b", "x", "y")),
        ({"src": "a", "tgt": ["x", "y"]}, ("src", "tgt.1"), ("a", "y")),
        ({"src": "a", "tgt": 5}, (), ("a", "5")),
        ({"t": "a", "u": "b", "tgt": "x"}, ("t+u", "tgt"), ("a b", "x")),
        ({"src": "a \r\n\n b\n", "tgt": "x"}, (), ("a b", "x")),
        ({"src": "a"}, (), "columns"),
        ({"src": "a", "tgt": None}, (), "columns"),
        ({"src": {"b": 1}, "tgt": "x"}, (), "columns"),
        ({"src": "a", "tgt": []}, (), "columns"),
        (["a", "x"], (), "columns"),
        ("text", (), "columns"),
    ],
)  # fmt: skip
def test_fields_of_a_json_line_are_found_by_their_paths(content, columns, expected):
    assert _json(content, *columns) == expected


@pytest.mark.parametrize("label", ["spam", 3, True, {"spam": 0.5}, [0.5, 0.5]])
def test_a_json_label_is_one_value_whatever_it_is(label):
    text, found = _json({"t": "a", "l": label}, "t", "l", labels=True)
    assert (text, found if label == "spam" else json.loads(found)) == ("a", label)


def test_a_text_whose_label_is_null_has_none():
    assert _json({"t": "a", "l": None}, "t", "l", labels=True) == "columns"


@pytest.mark.parametrize("line", [b"{", b"", b"nul", b"[" * 100_000])
def test_a_line_that_is_no_json_is_a_reject(line):
    row = line_formats.JsonLines(("src", "tgt"), False, "utf-8").row(1, [line])
    assert (row.problem, row.src, row.references) == ("format", line, ())


@given(st.binary(max_size=200))
def test_any_bytes_become_one_row_in_every_format(line):
    for reader in (
        line_formats.Parallel(("utf-8",)),
        line_formats.Tsv(((0,), (1,)), "utf-8"),
        line_formats.Tsv(((0,), (1,)), "cp1252"),
        line_formats.JsonLines(("src", "tgt"), False, "utf-8"),
        line_formats.Regex(SCAN, "utf-8"),
    ):
        row = reader.row(3, [line])
        assert row.line == 3
        assert row.problem or row.src is not None


@pytest.mark.parametrize(
    ("pattern", "line", "expected"),
    [
        (SCAN, "IN: walk twice OUT: I_WALK I_WALK", ("walk twice", "I_WALK I_WALK")),
        (TREC, "LOC:city What county ?", ("What county ?", "LOC")),
        (SCAN, "walk twice", None),
        (SCAN, " IN: a OUT: b", None),
    ],
)
def test_a_pattern_matches_whole_lines(pattern, line, expected):
    row = line_formats.Regex(pattern, "utf-8").row(1, [line.encode()])
    if expected is None:
        assert (row.problem, row.references) == ("format", ())
    else:
        assert (row.src.decode(), row.references[0].decode()) == expected


def test_other_encodings_become_utf_8_and_what_they_lack_is_a_reject():
    reader = line_formats.Tsv(((0,), (1,)), "cp1252")
    assert reader.row(1, ["é\tœ".encode("cp1252")])[1:3] == (
        "é".encode(),
        ("œ".encode(),),
    )
    assert reader.row(1, [b"\x81\tx"]).problem == "encoding"
    both = line_formats.Parallel(("utf-8", "latin-1"))
    assert both.row(1, ["é".encode(), b"\xe9"])[1:3] == ("é".encode(), ("é".encode(),))


@pytest.mark.parametrize(
    ("encoding", "word"), [("utf-7", b"+2AA-"), ("idna", b"x.xn--0.")]
)
def test_what_an_encoding_fails_on_in_its_own_way_is_a_reject(encoding, word):
    """UTF-7 can write half of a surrogate pair; IDNA's errors are of no byte."""
    for reader, line in (
        (line_formats.Parallel((encoding,) * 2), word),
        (line_formats.Tsv(((0,), (1,)), encoding), word + b"\tx"),
        (line_formats.JsonLines(("a", "b"), False, encoding), JSON % word),
        (line_formats.Regex(SCAN, encoding), b"IN: %s OUT: x" % word),
    ):
        row = reader.row(1, [line, b"x"])
        bounds = config.CleaningConfig()
        assert cleaning.clean_text(row, bounds, keep=True) == "encoding"


def test_json_of_lists_inside_lists_is_a_row_or_a_reject_however_deep():
    """The parser and what writes a label again have bounds of their own."""
    reader = line_formats.JsonLines(("src", "tgt"), labels=True, encoding="utf-8")
    for depth in range(1000):
        line = f'{{"src": "x", "tgt": {"[" * depth}0{"]" * depth}}}'.encode()
        assert reader.row(1, [line]).problem in ("", "columns", "format")
