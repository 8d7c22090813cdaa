import dataclasses
import gzip
import os
from typing import Any

import pytest

from pipeline import exits
from preprocessing import (
    chunks,
    config,
    corpora,
    corpus_config,
    splitting,
    subword_config,
)


def _corpus(tmp_path, **files) -> corpus_config.CorpusConfig:
    """Writes files and returns a corpus of them; a value is text or bytes."""
    given = {}
    for name, content in files.items():
        path = tmp_path / f"{name}.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        given[name] = (str(path),)
    return corpus_config.CorpusConfig(**given)


def _rows(corpus, task: str = "pairs") -> list[tuple[Any, ...]]:
    sources = corpora.sources(corpus, task, 1000)
    return [
        (row.line, row.src, row.references)
        for chunk in chunks.of_sources(sources, 1000)
        for row in chunk.rows()
    ]


def test_parallel_files_are_paired_line_by_line(tmp_path):
    corpus = _corpus(tmp_path, train_src="a\nb\n", train_tgt="x\ny\n")
    assert _rows(corpus) == [(1, b"a", (b"x",)), (2, b"b", (b"y",))]


def test_a_tab_inside_a_parallel_line_is_text(tmp_path):
    corpus = _corpus(tmp_path, train_src="a\tb\n", train_tgt="x\n")
    assert _rows(corpus) == [(1, b"a\tb", (b"x",))]


def test_tsv_columns_are_chosen_and_short_lines_have_no_reference(tmp_path):
    corpus = _corpus(tmp_path, train="1\ta\tx\nshort\n2\tb\ty\textra\n")
    corpus = corpus_config.CorpusConfig(train=corpus.train, columns=("2", "3"))
    assert _rows(corpus) == [
        (1, b"a", (b"x",)),
        (2, b"short", ()),
        (3, b"b", (b"y",)),
    ]


def test_several_columns_can_be_joined_and_be_references(tmp_path):
    corpus = _corpus(tmp_path, train="a\tb\tx\ty\n")
    corpus = corpus_config.CorpusConfig(train=corpus.train, columns=("2+1", "3", "4"))
    assert _rows(corpus) == [(1, b"b a", (b"x", b"y"))]


def test_columns_are_found_by_name_and_the_header_is_no_row(tmp_path):
    (tmp_path / "a.tsv").write_text("label\tsentence\n0\tgood\n")
    (tmp_path / "b.tsv").write_text("label\tcontent\n1\tbad\n")
    corpus = corpus_config.CorpusConfig(
        train=(str(tmp_path / "a.tsv"),),
        valid=(str(tmp_path / "b.tsv"),),
        columns=("sentence", "label"),
        valid_columns=("content", "label"),
    )
    assert _rows(corpus) == [(2, b"good", (b"0",)), (2, b"bad", (b"1",))]


def test_a_column_that_the_header_does_not_have_is_named(tmp_path):
    (tmp_path / "a.tsv").write_text("label\tsentence\n0\tgood\n")
    corpus = corpus_config.CorpusConfig(
        train=(str(tmp_path / "a.tsv"),), columns=("text", "label")
    )
    with pytest.raises(exits.Refusal, match=r"no column 'text', .*'sentence'"):
        corpora.sources(corpus, "pairs", 1000)


def test_further_target_files_of_a_test_set_are_references(tmp_path):
    for name, text in (("src", "a\nb\n"), ("one", "x\ny\n"), ("two", "X\nY\n")):
        (tmp_path / name).write_text(text)
    files = {name: str(tmp_path / name) for name in ("src", "one", "two")}
    corpus = corpus_config.CorpusConfig(
        train_src=(files["src"],),
        train_tgt=(files["one"],),
        test_src=(files["src"],),
        test_tgt=(files["one"], files["two"]),
    )
    assert _rows(corpus)[2:] == [(1, b"a", (b"x", b"X")), (2, b"b", (b"y", b"Y"))]
    with pytest.raises(exits.Refusal, match="--test_tgt names more files"):
        _rows(corpus, "labels")


@pytest.mark.parametrize(
    ("kind", "text"),
    [("tsv", "a\tx y | z\nb\t|\nc\n"), ("csv", '1,2\na,"x y|z"\nb,|\nc\n')],
)
def test_one_place_may_hold_several_references(tmp_path, kind, text):
    (tmp_path / "valid").write_text(text)
    corpus = corpus_config.CorpusConfig(
        train=(str(tmp_path / "valid"),),
        valid=(str(tmp_path / "valid"),),
        format=kind,
        header=kind == "csv",
        valid_reference_separator="|",
    )
    train, valid = (_rows(corpus)[part] for part in (slice(0, 3), slice(3, 6)))
    # A field of nothing but separators is empty, and a row without one stays bad.
    assert [row[2] for row in valid] == [(b"x y", b"z"), (b"",), ()]
    assert [len(row[2]) for row in train] == [1, 1, 0]


def test_corpora_have_names_and_weights(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.tsv").write_text(f"{name}\tx\n")
    corpus = corpus_config.CorpusConfig(
        train=(str(tmp_path / "[ab].tsv"), str(tmp_path / "c.tsv")),
        train_names=("news", "web"),
        train_weights=("2", "0.5"),
    )
    found = corpora.sources(corpus, "pairs", 1000)
    assert [(source.name, source.corpus, source.weight) for source in found] == [
        ("news:a.tsv", "news", 2.0),
        ("news:b.tsv", "news", 2.0),
        ("web", "web", 0.5),
    ]


def test_files_of_one_name_have_as_much_of_their_paths_as_tells_them_apart(tmp_path):
    for folder in ("one/s/a", "one/s/b", "two"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.tsv").write_text("a\tx\n")
        (tmp_path / folder / "y.tsv").write_text("a\tx\n")
    paths = [str(tmp_path / name) for name in ("one/s/a", "one/s/b", "two")]
    corpus = corpus_config.CorpusConfig(
        train=(f"{tmp_path}/one/*/*/x.tsv", f"{paths[2]}/y.tsv"),
        valid=(f"{paths[2]}/x.tsv",),
        test=(f"{paths[2]}/x.tsv",),
    )
    names = [source.name for source in corpora.sources(corpus, "pairs", 1000)]
    assert names == ["a/x.tsv", "b/x.tsv", "y.tsv", "two/x.tsv", "two/x.tsv"]
    parallel = corpus_config.CorpusConfig(
        train_src=(f"{tmp_path}/one/s/*/x.tsv",),
        train_tgt=(f"{tmp_path}/one/s/*/y.tsv",),
        train_names=("web",),
    )
    names = [source.name for source in corpora.sources(parallel, "pairs", 1000)]
    assert names == ["web:a/x.tsv | a/y.tsv", "web:b/x.tsv | b/y.tsv"]


def test_rows_are_dealt_the_same_way_wherever_their_file_lies(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.tsv").write_text("a\tx\n" * 300)
    splits = []
    for folders in ("a", "ab"):
        corpus = corpus_config.CorpusConfig(
            train=tuple(f"{tmp_path}/{folder}/x.tsv" for folder in folders),
            valid_fraction=0.5,
            split_by="line",
        )
        build = config.BuildConfig(
            output=config.OutputConfig(data_dir="unused"),
            corpus=corpus,
            task=config.TaskConfig(),
            subwords=subword_config.SubwordConfig(),
            cleaning=config.CleaningConfig(),
        )
        sources = corpora.sources(corpus, "pairs", 1000)
        first = next(chunks.of_sources(sources, 1000))
        splits.append(splitting.splits_of(first, first.rows(), build))
    assert splits[0] == splits[1]


def test_files_of_different_length_are_refused_with_both_counts(tmp_path):
    """FAULTS 9."""
    corpus = _corpus(tmp_path, train_src="a\nb\nc\n", train_tgt="x\n")
    (source,) = corpora.sources(corpus, "pairs", 1000)
    with pytest.raises(exits.Refusal, match="has 3 lines and .* has 1;") as error:
        corpora.survey(source, 1000, 0.05)
    assert error.value.code == exits.BAD_DATA


@pytest.mark.parametrize("name", ["none.txt", "none-*.txt", ""])
def test_a_missing_file_is_missing_input(tmp_path, name):
    """FAULTS 17; the empty name is the directory itself."""
    corpus = corpus_config.CorpusConfig(train=(str(tmp_path / name),))
    with pytest.raises(exits.Refusal, match="--train=") as error:
        corpora.sources(corpus, "pairs", 1000)
    assert error.value.code == exits.MISSING_INPUT


@pytest.mark.parametrize("kind", ["tsv", "csv"])
def test_a_held_out_file_of_another_encoding_is_refused_before_its_header_is_read(
    tmp_path, kind
):
    (tmp_path / "a").write_text("en\tde\na\tx\n")
    (tmp_path / "b").write_text("en\tde\na\tx\n", "utf-16")
    corpus = corpus_config.CorpusConfig(
        train=(str(tmp_path / "a"),),
        test=(str(tmp_path / "b"),),
        columns=("en", "de"),
        format=kind,
        delimiter="tab" if kind == "csv" else ",",
    )
    with pytest.raises(exits.Refusal, match="b: looks like utf-16; --encoding=utf-16"):
        corpora.sources(corpus, "pairs", 1000)
    again = dataclasses.replace(corpus, test_encoding="utf-16")
    assert _rows(again)[1] == (2, b"a", (b"x",))


def test_a_translation_memory_may_be_of_utf_16_but_not_compressed(tmp_path):
    text = """<?xml version="1.0" encoding="UTF-16"?><tmx><body><tu>
    <tuv lang="en"><seg>a</seg></tuv><tuv lang="de"><seg>x</seg></tuv></tu></body></tmx>
    """
    path = tmp_path / "a.tmx"
    path.write_text(text, "utf-16")
    corpus = corpus_config.CorpusConfig(
        train=(str(path),), columns=("en", "de"), format="tmx"
    )
    assert _rows(corpus) == [(1, b"a", (b"x",))]
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(exits.Refusal, match=r"a\.tmx: is compressed \(gzip\)"):
        corpora.sources(corpus, "pairs", 1000)


def test_what_is_no_file_is_refused_with_what_it_is(tmp_path):
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    for path, what in (
        (pipe, "is a pipe or a device, and a build reads its files more than once"),
        (folder, "is a directory"),
        (tmp_path / "none", "no such file"),
    ):
        corpus = corpus_config.CorpusConfig(train=(str(path),))
        with pytest.raises(exits.Refusal, match=f"--train={path}: {what}") as error:
            corpora.sources(corpus, "pairs", 1000)
        assert error.value.code == exits.MISSING_INPUT


def test_globs_are_read_in_the_order_of_their_names(tmp_path):
    for name in "cab":
        (tmp_path / f"{name}.tsv").write_text(f"{name}\tx\n")
    corpus = corpus_config.CorpusConfig(train=(str(tmp_path / "*.tsv"),))
    assert [source.name for source in corpora.sources(corpus, "pairs", 1000)] == [
        "a.tsv",
        "b.tsv",
        "c.tsv",
    ]


@pytest.mark.parametrize(
    ("src", "tgt", "first"),
    [
        (["p1.en", "p2.en", "p4.en"], ["p1.de", "p3.de", "p4.de"], "p2.en .*p3.de"),
        (["p2.en"], ["p3.de"], "p2.en .*p3.de"),
        (["pa.en", "pb.en"], ["pb.de", "pc.de"], "pa.en .*pb.de"),
        (["p1-a.en", "p1-b.en"], ["p1-b.de", "p2-b.de"], "p1-a.en .*p1-b.de"),
    ],
)
def test_globs_that_match_other_parts_are_refused_with_the_first_pair(
    tmp_path, src, tgt, first
):
    for name in (*src, *tgt):
        (tmp_path / name).write_text("a\n")
    corpus = corpus_config.CorpusConfig(
        train_src=(f"{tmp_path}/p*.en",), train_tgt=(f"{tmp_path}/p*.de",)
    )
    match = rf"--train_src=.*p\*\.en.*{first}; add what is missing"
    with pytest.raises(exits.Refusal, match=match) as error:
        corpora.sources(corpus, "pairs", 1000)
    assert error.value.code == exits.BAD_DATA


@pytest.mark.parametrize(
    ("src", "tgt", "names"),
    [
        ("[ab]?.en", "[ab]?.de", ["a1.en", "b2.en", "a1.de", "b2.de"]),
        ("en/*", "de/*", ["en/a1.en", "en/b2.en", "de/a1.de", "de/b2.de"]),
        ("*.en", "de-*-*", ["a1.en", "b2.en", "de-x-1", "de-y-2"]),
    ],
)
def test_globs_of_the_same_parts_are_pairs(tmp_path, src, tgt, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a\n")
    half = len(names) // 2
    corpus = corpus_config.CorpusConfig(
        train_src=(f"{tmp_path}/{src}",), train_tgt=(f"{tmp_path}/{tgt}",)
    )
    found = [source.files for source in corpora.sources(corpus, "pairs", 1000)]
    expected = list(zip(names[:half], names[half:], strict=True))
    assert found == [(tmp_path / one, tmp_path / other) for one, other in expected]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path):
    for name in ("a[1].tsv", "a1.tsv"):
        (tmp_path / name).write_text(f"{name}\tx\n")
    corpus = corpus_config.CorpusConfig(train=(str(tmp_path / "a[1].tsv"),))
    assert _rows(corpus) == [(1, b"a[1].tsv", (b"x",))]


def test_the_built_in_dictionary_keeps_words_apart_and_variants_together():
    by_split = {
        source.split: list(source.read_rows())
        for source in corpora.sources(
            corpus_config.CorpusConfig(corpus="cmudict"), "pairs", 1000
        )
    }
    assert len(by_split["test"]) == 12_000
    assert len(by_split["valid"]) == 2_670
    words = {split: {row.src for row in rows} for split, rows in by_split.items()}
    assert not words["train"] & words["test"]
    assert not words["train"] & words["valid"]
    assert any(len(row.references) > 1 for row in by_split["test"])


def test_the_built_in_numbers_are_held_out():
    by_split = {
        source.split: {row.src for row in source.read_rows()}
        for source in corpora.sources(
            corpus_config.CorpusConfig(corpus="numbers"), "pairs", 1000
        )
    }
    assert {split: len(rows) for split, rows in by_split.items()} == {
        "train": 18_500,
        "valid": 500,
        "test": 1_000,
    }
    assert not by_split["train"] & (by_split["valid"] | by_split["test"])


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('"my\ntext",label\na,x\n', ("my\ntext", "label")),
        ('text,label"\na,x\n', ("text", 'label"')),
    ],
    ids=["a newline in a name", "a stray quote"],
)
def test_names_of_csv_columns_are_those_of_the_first_row(tmp_path, text, columns):
    (tmp_path / "a.csv").write_text(text)
    corpus = corpus_config.CorpusConfig(
        train=(str(tmp_path / "a.csv"),), columns=columns, format="csv"
    )
    assert [row[1:] for row in _rows(corpus)] == [(b"a", (b"x",))]
