import csv
import dataclasses
import gzip
import io
import tracemalloc

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import exits
from preprocessing import corpus_config, file_formats

LAYOUT = corpus_config.Layout("csv", (), None, False, ",", "utf-8", None)
TWO = ((0,), (1,))


def _csv(path, content: bytes, layout=LAYOUT, columns=TWO, max_bytes: int = 1000):
    path.write_bytes(content)
    found = file_formats.read_csv(path, layout, columns, max_bytes)
    return [tuple(row) for row in found]


def test_quoted_fields_hold_commas_quotes_and_newlines(tmp_path):
    content = b'"a, b","x ""y"""\r\n"c\r\nd",z\r\n\r\nlast,one'
    assert _csv(tmp_path / "a.csv", content) == [
        (1, b"a, b", (b'x "y"',), ""),
        (2, b"c d", (b"z",), ""),
        (5, b"last", (b"one",), ""),
    ]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content))
    found = file_formats.read_csv(tmp_path / "a.csv.gz", LAYOUT, TWO, 1000)
    assert len(list(found)) == 3


def test_short_bad_and_undecodable_csv_rows_are_rejects(tmp_path):
    content = b'only\n"a"b,c\n\xff,x\ngood,one\n'
    found = _csv(tmp_path / "a.csv", content)
    assert [(line, problem) for line, _, _, problem in found] == [
        (1, "columns"),
        (2, "format"),
        (3, "encoding"),
        (4, ""),
    ]
    assert found[2][1] == b"\xff\tx"


def test_half_of_a_surrogate_pair_is_a_reject_too(tmp_path):
    """UTF-7 can write one, without an error of its codec."""
    layout = dataclasses.replace(LAYOUT, encoding="utf-7")
    (row,) = _csv(tmp_path / "a.csv", b"+2AA-,x\n", layout)
    assert (row[0], row[3]) == (1, "encoding")


@pytest.mark.parametrize("end", [b'e "f",g\n', b""])
def test_a_quote_that_is_not_closed_costs_its_own_line_alone(tmp_path, end):
    """Promise P3: what was read until the next quote, or the end, is read again."""
    content = b'a,b\nc,"d\n' + b"e,f\n" * 2400 + end
    found = _csv(tmp_path / "a.csv", content)
    assert [row[0] for row in found] == list(range(1, 2403 + bool(end)))
    assert found[1] == (2, b'c,"d', (), "format")
    assert {row[1:] for row in found[2:2402]} == {(b"e", (b"f",), "")}


def test_of_quoted_fields_one_that_is_not_closed_costs_its_own_line_alone(tmp_path):
    content = b'"a","b"\n"c","d\n"e","f\nf"\n"g","h"\n'
    assert _csv(tmp_path / "a.csv", content) == [
        (1, b"a", (b"b",), ""),
        (2, b'"c","d', (), "format"),
        (3, b"e", (b"f f",), ""),
        (5, b"g", (b"h",), ""),
    ]


@pytest.mark.parametrize("end", [b'e"\n', b'e 5",f\n', b'\xff 5",f\n'])
def test_a_quote_that_another_one_closes_by_chance_costs_its_own_line_alone(
    tmp_path, end
):
    """Promise P3: a row short of columns, or too long, of lines that are rows."""
    content = b'a,b\n"c,d\n' + b"e,f\n" * 2400 + end + b"g,h\n"
    found = _csv(tmp_path / "a.csv", content)
    assert [row[0] for row in found] == list(range(1, 2405))
    assert found[1] == (2, b'"c,d', (), "format")
    assert {row[1:] for row in found[2:2402]} == {(b"e", (b"f",), "")}
    assert found[2403] == (2404, b"g", (b"h",), "")


def test_several_lines_that_are_a_row_with_its_columns_stay_one(tmp_path):
    text = b"\n".join([b"1234567"] * 10)
    content = b'"' + text + b'",x\n"' + text + b'\xff",x\n'
    whole, bad = _csv(tmp_path / "a.csv", content, max_bytes=82)
    assert whole == (1, text.replace(b"\n", b" "), (b"x",), "")
    assert (bad[0], bad[3]) == (11, "encoding")
    assert len(_csv(tmp_path / "a.csv", content, max_bytes=78)) == 20


def test_a_header_with_a_quote_that_is_not_closed_is_one_line(tmp_path):
    layout = dataclasses.replace(LAYOUT, header=True)
    found = _csv(tmp_path / "a.csv", b'src,"tgt\na,b\n', layout)
    assert found == [(2, b"a", (b"b",), "")]


@pytest.mark.parametrize("begin", [b"", b'"'])
def test_a_line_of_many_megabytes_is_one_reject(tmp_path, begin):
    content = b"a,b\n" + begin + b"x" * 17_000_000 + b"\nc,d\n"
    first, long, last = _csv(tmp_path / "a.csv", content)
    assert (first[0], last) == (1, (3, b"c", (b"d",), ""))
    assert (long[0], len(long[1]), long[3]) == (2, 1001, "too_long")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text('a",', max_size=6), min_size=1, max_size=12), st.integers(1, 30)
)
def test_every_csv_line_is_in_one_row_or_a_reject_as_it_is(
    tmp_path_factory, texts, max_bytes
):
    """A reject is of one line; what several lines hold is a row that can be kept."""
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    found = _csv(path, "\n".join(texts).encode(), max_bytes=max_bytes)
    numbers = [number for number, text in enumerate(texts, 1) if text]
    for number, src, references, problem in found:
        assert numbers.pop(0) == number
        if problem == "format":
            assert src.decode() == texts[number - 1][: max_bytes + 1]
            continue
        taken = csv.reader((f"{text}\n" for text in texts[number - 1 :]), strict=True)
        next(taken)
        if taken.line_num > 1:
            assert not problem
            assert max(len(src), *map(len, references)) <= max_bytes
        numbers = [other for other in numbers if other >= number + taken.line_num]
    assert not numbers


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            *[
                st.text(
                    st.characters(codec="utf-8", exclude_characters="\r\n\0"),
                    min_size=1,
                )
            ]
            * 2
        )
    )
)
def test_what_csv_writes_is_read_back(tmp_path_factory, pairs):
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(pairs)
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    content = text.getvalue().encode()
    found = _csv(path, b"\xef\xbb\xbf" + content)
    assert [(src.decode(), tgt[0].decode()) for _, src, tgt, _ in found] == pairs


TMX = """<?xml version="1.0" encoding="UTF-8"?>
{doctype}
<tmx version="1.4"><header/><body>
<tu><tuv xml:lang="en-GB">
<seg>a <bpt i="1">&lt;b&gt;</bpt>bold<ept i="1"/> word</seg></tuv>
<tuv xml:lang="FR"><seg>x</seg></tuv><tuv xml:lang="fr"><seg>y</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>no French</seg></tuv></tu>
<tu><tuv lang="en"><seg>old &amp; lang</seg></tuv><tuv lang="fr"><seg>z</seg></tuv></tu>
</body></tmx>"""
ENTITY = '<!DOCTYPE t [<!ENTITY e "boom">]>'
EXTERNAL = '<!DOCTYPE t [<!ENTITY e SYSTEM "file:///etc/passwd">]>'


def _tmx(path, text: str):
    path.write_text(text)
    return [tuple(row) for row in file_formats.read_tmx(path, ("en", "fr"))]


def test_translation_units_are_read_and_codes_left_out(tmp_path):
    doctype = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">'
    found = _tmx(tmp_path / "a.tmx", TMX.format(doctype=doctype))
    assert found == [
        (1, b"a bold word", (b"x", b"y"), ""),
        (2, b"no French", (), "columns"),
        (3, b"old & lang", (b"z",), ""),
    ]


def test_every_variant_of_a_source_is_read(tmp_path):
    more = '<tuv xml:lang="en-US"><seg>color</seg></tuv>'
    more += '<tuv xml:lang="en-CA"><seg>color</seg></tuv>'
    more += '<tuv xml:lang="fr-CA"><seg>z</seg></tuv><tuv lang="fr">'
    text = TMX.format(doctype="").replace('<tuv lang="fr">', more)
    assert _tmx(tmp_path / "a.tmx", text)[2:] == [
        (3, b"old & lang", (b"z",), ""),
        (3, b"color", (b"z",), ""),
    ]


def test_translation_units_may_be_in_a_namespace(tmp_path):
    text = TMX.format(doctype="")
    named = text.replace("<tmx ", '<tmx xmlns="http://www.lisa.org/tmx14" ')
    assert _tmx(tmp_path / "a.tmx", named) == _tmx(tmp_path / "b.tmx", text)


def test_the_elements_of_a_segment_may_be_inside_each_other_however_deep(tmp_path):
    deep = f"{'<hi>a' * 2000}{'</hi>b' * 2000}"
    text = TMX.format(doctype="").replace("no French", deep)
    assert _tmx(tmp_path / "a.tmx", text.replace("old &amp; lang", deep))[1:] == [
        (2, b"a" * 2000 + b"b" * 2000, (), "columns"),
        (3, b"a" * 2000 + b"b" * 2000, (b"z",), ""),
    ]


def test_translation_units_that_were_read_are_not_kept(tmp_path):
    unit = TMX[TMX.index("<tu>") : TMX.index("</body>")]
    whole = TMX.format(doctype="").replace("</body>", unit * 5_000 + "</body>")
    (tmp_path / "a.tmx").write_text(whole)
    tracemalloc.start()
    try:
        found = file_formats.read_tmx(tmp_path / "a.tmx", ("en", "fr"))
        assert sum(1 for _ in found) == 15_003
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000 < len(whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TMX.format(doctype=ENTITY), "declares the entity 'e'"),
        (TMX.format(doctype=EXTERNAL), "declares the entity 'e'"),
        (TMX.format(doctype="")[:-20], "not well-formed"),
        ("plain text", "not well-formed"),
        (TMX.format(doctype="").replace("UTF-8", "klingon"), "klingon.*to UTF-8"),
        (TMX.format(doctype="").replace("UTF-8", "shift_jis"), "convert it to UTF-8"),
    ],
)  # fmt: skip
def test_xml_that_declares_entities_or_is_broken_is_refused(tmp_path, text, message):
    with pytest.raises(exits.Refusal, match=message) as error:
        _tmx(tmp_path / "a.tmx", text)
    assert error.value.code == exits.BAD_DATA


PO = """
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "Open"
msgstr "Öffnen"

#, fuzzy
msgid "Close"
msgstr "Zu"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"

#~ msgid "Old"
#~ msgstr "Alt"
"""


def test_catalogue_entries_are_pairs_plural_forms_too(tmp_path):
    (tmp_path / "a.po").write_text(PO)
    found = list(file_formats.read_po(tmp_path / "a.po", "utf-8"))
    assert [(row.src.decode(), *row.references, row.problem) for row in found] == [
        ("Open", "Öffnen".encode(), ""),
        ("Close", "fuzzy"),
        ("%d file", b"%d Datei", ""),
        ("%d files", b"%d Dateien", ""),
        ("Old", "obsolete"),
    ]


@pytest.mark.parametrize("character", "\u2028\u2029\x85\x0b\x0c\x1c\x1e")
def test_catalogue_lines_end_at_newlines_alone(tmp_path, character):
    text = f'msgid "a"\r\nmsgstr ""\r\n"x{character}y "\n"z"\n'
    (tmp_path / "a.po").write_text(text, "utf-8", newline="")
    (row,) = file_formats.read_po(tmp_path / "a.po", "utf-8")
    assert row[1:] == (b"a", (f"x{character}y z".encode(),), "")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_catalogues_of_every_system_are_read(tmp_path, end):
    (tmp_path / "a.po").write_text(PO, newline=end)
    assert len(list(file_formats.read_po(tmp_path / "a.po", "utf-8"))) == 5


def test_a_catalogue_of_another_encoding_is_refused_with_the_way_to_name_it(tmp_path):
    path = tmp_path / "a.po"
    path.write_text(PO, "latin-1")
    with pytest.raises(
        exits.Refusal, match=r"a.po: is not utf-8 .*--encoding"
    ) as error:
        list(file_formats.read_po(path, "utf-8"))
    assert error.value.code == exits.BAD_DATA
    assert next(file_formats.read_po(path, "latin-1")).references == (
        "Öffnen".encode(),
    )


def test_what_is_no_catalogue_is_refused(tmp_path):
    (tmp_path / "a.po").write_text("msgid without quotes\nmore\n")
    with pytest.raises(exits.Refusal, match="not a gettext catalogue"):
        list(file_formats.read_po(tmp_path / "a.po", "utf-8"))


def test_parquet_columns_may_be_inside_a_struct(tmp_path):
    rows = [{"t": {"en": "a", "fr": ["x", "y"]}, "n": 1}, {"t": None, "n": 2}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = file_formats.read_parquet(
        tmp_path / "a.parquet", ("t.en", "t.fr"), labels=False
    )
    assert [(row.line, row.src, row.references, row.problem) for row in found] == [
        (1, b"a", (b"x", b"y"), ""),
        (2, b'{"t": null}', (), "columns"),
    ]


def test_a_column_that_a_parquet_file_does_not_have_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"a": "x"}]), path)
    with pytest.raises(exits.Refusal, match=r"no column 'b', it has \['a'\]"):
        list(file_formats.read_parquet(path, ("a", "b"), labels=False))
    path.write_bytes(b"PAR1 but no more")
    with pytest.raises(exits.Refusal, match="is not a Parquet file"):
        list(file_formats.read_parquet(path, ("a", "b"), labels=False))


def test_parquet_columns_may_have_dots_and_plus_signs_in_their_names(tmp_path):
    path = tmp_path / "a.parquet"
    table = pyarrow.Table.from_pylist([{"en+GB": "a", "t.fr": "x", "n": 1}])
    pyarrow.parquet.write_table(table, path)
    (row,) = file_formats.read_parquet(path, ("en+GB", "t.fr"), labels=False)
    assert (row.src, row.references, row.problem) == (b"a", (b"x",), "")


@pytest.mark.parametrize("labels", [False, True])
def test_parquet_bytes_are_text_if_they_can_be_decoded(tmp_path, labels):
    """Spark and Hive write text without saying that it is text."""
    path = tmp_path / "a.parquet"
    pairs = [("é".encode(), b"x"), (b"b", b"\xff"), (b"\xff", b"x")]
    table = pyarrow.Table.from_pylist([{"a": src, "b": tgt} for src, tgt in pairs])
    pyarrow.parquet.write_table(table, path)
    first, *others = file_formats.read_parquet(path, ("a", "b"), labels=labels)
    assert (first.src, first.references, first.problem) == ("é".encode(), (b"x",), "")
    assert [(row.references, row.problem) for row in others] == [((), "encoding")] * 2


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("kind", ["plain", "struct", "list", "dictionary"])
def test_parquet_text_that_is_not_utf8_is_a_reject(tmp_path, kind, labels):
    """Arrow's word that a column is text is the writer's, which nobody checked."""
    values = pyarrow.array([b"x", b"\xff", b"\xc3\xa9"]).view(pyarrow.string())
    if kind == "struct":
        values = pyarrow.StructArray.from_arrays([values], ["de"])
    elif kind == "dictionary":
        values = values.dictionary_encode()
    elif kind == "list":
        values = pyarrow.ListArray.from_arrays([0, 1, 2, 3], values)
        labels = False
    table = pyarrow.table({"a": ["a", "b", None], "b": values})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    columns = ("a", "b.de" if kind == "struct" else "b")
    first, second, third = file_formats.read_parquet(
        tmp_path / "a.parquet", columns, labels=labels
    )
    assert first == (1, b"a", (b"x",), "")
    assert (second[0], second[2:]) == (2, ((), "encoding"))
    assert rb"\xff" in second.src
    assert third.problem == "columns"


def test_a_damaged_parquet_file_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    table = pyarrow.Table.from_pylist([{"a": f"{n}", "b": "x"} for n in range(9000)])
    pyarrow.parquet.write_table(table, path, compression="gzip")
    content = bytearray(path.read_bytes())
    content[100:10_000] = bytes(9_900)
    path.write_bytes(content)
    with pytest.raises(exits.Refusal, match="a.parquet: damaged or cut short") as error:
        list(file_formats.read_parquet(path, ("a", "b"), labels=False))
    assert error.value.code == exits.BAD_DATA
