import pytest

from pipeline import exits
from preprocessing import chunks, corpora, corpus_config


def test_rows_are_numbered_through_all_sources(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.tsv").write_text("s\tt\n" * 2500)
    corpus = corpus_config.CorpusConfig(train=(str(tmp_path / "*.tsv"),))
    sources = corpora.sources(corpus, "pairs", 1000)
    assert [
        (chunk.number, chunk.first_row, chunk.first_line, chunk.size)
        for chunk in chunks.of_sources(sources, 1000)
    ] == [
        (0, 0, 1, 2000),
        (1, 2000, 2001, 500),
        (2, 2500, 1, 2000),
        (3, 4500, 2001, 500),
    ]


def test_a_line_too_long_to_be_read_whole_is_not_taken_apart(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes(b"a" * 20_000 + b"\tx\nb\ty\n")
    corpus = corpus_config.CorpusConfig(train=(str(path),))
    (chunk,) = chunks.of_sources(corpora.sources(corpus, "pairs", 1000), 1000)
    first, second = chunk.rows()
    assert (first.problem, len(first.src)) == ("too_long", 16_001)
    assert second == (2, b"b", (b"y",), "")


def test_a_cut_line_of_any_side_is_not_taken_apart(tmp_path):
    """Or what was cut off would be lost where a line has several references."""
    (tmp_path / "src").write_bytes(b"a\nb\n")
    (tmp_path / "tgt").write_bytes(b"w|" * 1000 + b"\nx|y\n")
    corpus = corpus_config.CorpusConfig(
        train_src=(str(tmp_path / "src"),),
        train_tgt=(str(tmp_path / "tgt"),),
        reference_separator="|",
    )
    (chunk,) = chunks.of_sources(corpora.sources(corpus, "pairs", 100), 100)
    first, second = chunk.rows()
    assert first == (1, b"a\t" + (b"w|" * 51)[:101], (), "too_long")
    assert second == (2, b"b", (b"x", b"y"), "")


def test_a_side_that_became_shorter_since_lines_were_counted_is_refused(tmp_path):
    """FAULTS 16: the corpora were surveyed, and another program wrote to a file."""
    (tmp_path / "src").write_text("a\n" * 2500)
    (tmp_path / "tgt").write_text("x\n" * 2100)
    corpus = corpus_config.CorpusConfig(
        train_src=(str(tmp_path / "src"),), train_tgt=(str(tmp_path / "tgt"),)
    )
    sources = corpora.sources(corpus, "pairs", 100)
    first, second = chunks.of_sources(sources, 100)
    assert len(first.rows()) == 2000
    with pytest.raises(exits.Refusal, match=r"src \| tgt: changed while") as error:
        second.rows()
    assert error.value.code == exits.BAD_DATA
