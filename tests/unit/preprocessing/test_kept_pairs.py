import functools

import pytest

from pipeline import exits
from preprocessing import (
    chunks,
    config,
    corpora,
    corpus_config,
    kept_pairs,
    labels,
    rows,
    subword_config,
)


def _pairs(row: rows.Row, split: str = "train", *, dedup: bool):
    """Returns (targets, references) of the pairs of a row, and the rejects."""
    build = config.BuildConfig(
        output=config.OutputConfig(data_dir="unused"),
        corpus=corpus_config.CorpusConfig(train=("unused",)),
        task=config.TaskConfig(),
        subwords=subword_config.SubwordConfig(),
        cleaning=config.CleaningConfig(dedup=dedup),
    )
    read = functools.partial(iter, [row])
    source = corpora.Source("a", split, 1, (), read_rows=read)
    (chunk,) = chunks.of_sources([source], 1000)
    pairs, rejects = kept_pairs.of_chunk(chunk, None, build, None)
    return list(zip(pairs.tgt, pairs.references, strict=True)), rejects


ROW = rows.Row(7, b"a", (b"x", b"y", b" x"))
EACH = [("x", (b"x",)), ("y", (b"y",)), (" x", (b" x",))]


def test_a_reference_that_is_there_twice_is_one_pair_with_dedup():
    """And the other one is a reject, so that nothing is lost in silence."""
    pairs, rejects = _pairs(ROW, dedup=True)
    assert pairs == EACH[:2]
    assert rejects == [("train", 7, "duplicate", b"a\t x")]
    assert _pairs(ROW, dedup=False) == (EACH, [])


@pytest.mark.parametrize("split", ["valid", "test"])
def test_held_out_rows_keep_every_reference(split):
    assert _pairs(ROW, split, dedup=True) == ([("x", ROW.references)], [])


def _labelled(text: bytes, split: str | None, *, soft: bool = False):
    """Returns the labels of a row that has this one, and the reasons of rejects."""
    task = config.TaskConfig(
        task="labels", label_names=("neg", "pos"), soft_labels=soft
    )
    build = config.BuildConfig(
        output=config.OutputConfig(data_dir="unused"),
        corpus=corpus_config.CorpusConfig(train=("unused",), valid_fraction=0.999999),
        task=task,
        subwords=subword_config.SubwordConfig(),
        cleaning=config.CleaningConfig(),
    )
    read = functools.partial(iter, [rows.Row(7, b"fine", (text,))])
    source = corpora.Source("a", split, 1, (), read_rows=read)
    (chunk,) = chunks.of_sources([source], 1000)
    known = labels.Labels(task.label_names, soft=task.soft_labels)
    pairs, rejects = kept_pairs.of_chunk(chunk, None, build, known)
    return pairs.labels, [(reject.split, reject.reason) for reject in rejects]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("split", ["train", "valid", "test", None])
def test_a_text_without_a_label_is_left_out_of_every_split(split, soft):
    """None is a row that its hash deals to valid."""
    assert _labelled(b" ", split, soft=soft) == ([], [(split or "valid", "empty")])


def test_shares_that_cannot_be_read_are_refused_where_a_held_out_file_has_them():
    assert _labelled(b"1", None, soft=True) == ([], [("valid", "label")])
    for split in ("valid", "test"):
        with pytest.raises(exits.Refusal, match=rf"a, line 7 \({split}\): want 2"):
            _labelled(b"1", split, soft=True)


@pytest.mark.parametrize("split", ["train", "valid", "test", None])
def test_a_label_that_is_no_class_is_refused_in_every_split(split):
    with pytest.raises(exits.Refusal, match="'meh' is none of the 2 labels"):
        _labelled(b"meh", split)
