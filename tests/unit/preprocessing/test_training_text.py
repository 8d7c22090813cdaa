import functools

import pytest

from preprocessing import (
    chunks,
    config,
    corpora,
    corpus_config,
    rows,
    splitting,
    subword_config,
    training_text,
)


def _build(**corpus) -> config.BuildConfig:
    return config.BuildConfig(
        output=config.OutputConfig(data_dir="unused"),
        corpus=corpus_config.CorpusConfig(train=("unused",), **corpus),
        task=config.TaskConfig(task="labels"),
        subwords=subword_config.SubwordConfig(),
        cleaning=config.CleaningConfig(),
    )


def _chunk(split: str | None, given: list[rows.Row]) -> chunks.Chunk:
    read = functools.partial(iter, given)
    source = corpora.Source("a", split, 1, (), read_rows=read)
    (chunk,) = chunks.of_sources([source], 1000)
    return chunk


def test_classes_are_those_of_every_row_that_a_hash_deals():
    """One of which every row is dealt to valid would refuse the build otherwise."""
    build = _build(valid_fraction=0.3, test_fraction=0.3)
    given = [rows.Row(n, b"text %d" % n, (b"c%d" % n,)) for n in range(50)]
    given.append(rows.Row(51, b"blank", (b" ",)))
    chunk = _chunk(None, given)
    assert set(splitting.splits_of(chunk, given, build)) == {"train", "valid", "test"}
    found = training_text.label_names(chunk, build, None)
    assert found == {f"c{number}" for number in range(50)}


def test_a_row_that_valid_keeps_has_a_class_though_train_would_not_keep_it():
    build = _build(valid_fraction=0.999999)
    chunk = _chunk(None, [rows.Row(1, b"a\0b", (b"odd",))])
    assert training_text.label_names(chunk, build, None) == {"odd"}


@pytest.mark.parametrize(("split", "expected"), [("train", {"x"}), ("test", set())])
def test_of_files_that_were_given_training_alone_says_which_classes(split, expected):
    chunk = _chunk(split, [rows.Row(1, b"a", (b"x",)), rows.Row(2, b"b", (b"",))])
    assert training_text.label_names(chunk, _build(), None) == expected
