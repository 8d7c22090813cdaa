import functools

import pytest

from preprocessing import (
    chunks,
    config,
    corpora,
    corpus_config,
    kept_pairs,
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
