import gzip

import pytest

from pipeline import exits
from preprocessing import config, corpora


def _lines(path, content: bytes, max_bytes: int = 1000) -> list[bytes]:
    path.write_bytes(content)
    return list(corpora.lines(path, max_bytes))


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
    assert list(corpora.lines(packed, 1000)) == expected


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
    assert list(corpora.lines(path, 100)) == [b"a", b"b"]


@pytest.mark.parametrize("keep", [5, 30, -9, -1])
def test_a_cut_gzip_file_is_refused(tmp_path, keep):
    """FAULTS 15."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"some text\n" * 1000)[:keep])
    with pytest.raises(exits.Refusal, match="a.gz: damaged or cut short") as error:
        list(corpora.lines(path, 100))
    assert error.value.code == exits.BAD_DATA


def _corpus(tmp_path, **files) -> config.CorpusConfig:
    """Writes files and returns a corpus of them; a value is text or bytes."""
    given = {}
    for name, content in files.items():
        path = tmp_path / f"{name}.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        given[name] = (str(path),)
    return config.CorpusConfig(**given)


def _rows(corpus):
    (source,) = corpora.sources(corpus, 1000)
    return [(row.line, row.src, row.references) for row in source.rows()]


def test_parallel_files_are_paired_line_by_line(tmp_path):
    corpus = _corpus(tmp_path, train_src="a\nb\n", train_tgt="x\ny\n")
    assert _rows(corpus) == [(1, b"a", (b"x",)), (2, b"b", (b"y",))]


def test_a_tab_inside_a_parallel_line_is_text(tmp_path):
    corpus = _corpus(tmp_path, train_src="a\tb\n", train_tgt="x\n")
    assert _rows(corpus) == [(1, b"a\tb", (b"x",))]


def test_tsv_columns_are_chosen_and_short_lines_have_no_reference(tmp_path):
    corpus = _corpus(tmp_path, train="1\ta\tx\nshort\n2\tb\ty\textra\n")
    corpus = config.CorpusConfig(train=corpus.train, columns=("2", "3"))
    assert _rows(corpus) == [
        (1, b"a", (b"x",)),
        (2, b"short", ()),
        (3, b"b", (b"y",)),
    ]


def test_files_of_different_length_are_refused_with_both_counts(tmp_path):
    """FAULTS 9."""
    corpus = _corpus(tmp_path, train_src="a\nb\nc\n", train_tgt="x\n")
    (source,) = corpora.sources(corpus, 1000)
    with pytest.raises(exits.Refusal, match="has 3 lines and .* has 1;") as error:
        corpora.survey(source, 1000, 0.05)
    assert error.value.code == exits.BAD_DATA


def test_a_latin_1_file_is_refused_and_its_encoding_guessed(tmp_path):
    """FAULTS 7."""
    text = "Où est la bibliothèque à côté de l'hôtel ?\n" * 50
    corpus = _corpus(tmp_path, train_src=text.encode("latin-1"), train_tgt="x\n" * 50)
    (source,) = corpora.sources(corpus, 1000)
    with pytest.raises(exits.Refusal, match="50 of 50 lines are not UTF-8; it looks"):
        corpora.survey(source, 1000, 0.05)
    assert len(corpora.survey(source, 1000, 1.0)) == 2


@pytest.mark.parametrize("name", ["none.txt", "none-*.txt", ""])
def test_a_missing_file_is_missing_input(tmp_path, name):
    """FAULTS 17; the empty name is the directory itself."""
    corpus = config.CorpusConfig(train=(str(tmp_path / name),))
    with pytest.raises(exits.Refusal, match="--train=") as error:
        corpora.sources(corpus, 1000)
    assert error.value.code == exits.MISSING_INPUT


def test_globs_are_read_in_the_order_of_their_names(tmp_path):
    for name in "cab":
        (tmp_path / f"{name}.tsv").write_text(f"{name}\tx\n")
    corpus = config.CorpusConfig(train=(str(tmp_path / "*.tsv"),))
    assert [source.name for source in corpora.sources(corpus, 1000)] == [
        "a.tsv",
        "b.tsv",
        "c.tsv",
    ]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    """FAULTS 16."""
    corpus = _corpus(tmp_path, train="a\tx\n")
    (source,) = corpora.sources(corpus, 1000)
    facts = corpora.survey(source, 1000, 0.05)
    corpora.check_unchanged(facts)
    source.files[0].write_text("b\ty\n")
    with pytest.raises(exits.Refusal, match="changed while it was read"):
        corpora.check_unchanged(facts)


def test_the_built_in_dictionary_keeps_words_apart_and_variants_together():
    by_split = {
        source.split: list(source.rows())
        for source in corpora.sources(config.CorpusConfig(corpus="cmudict"), 1000)
    }
    assert len(by_split["test"]) == 12_000
    assert len(by_split["valid"]) == 2_670
    words = {split: {row.src for row in rows} for split, rows in by_split.items()}
    assert not words["train"] & words["test"]
    assert not words["train"] & words["valid"]
    assert any(len(row.references) > 1 for row in by_split["test"])
    assert all(len(row.references) == 1 for row in by_split["train"])


def test_the_built_in_numbers_are_held_out():
    by_split = {
        source.split: {row.src for row in source.rows()}
        for source in corpora.sources(config.CorpusConfig(corpus="numbers"), 1000)
    }
    assert {split: len(rows) for split, rows in by_split.items()} == {
        "train": 18_500,
        "valid": 500,
        "test": 1_000,
    }
    assert not by_split["train"] & (by_split["valid"] | by_split["test"])
