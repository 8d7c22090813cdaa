import gzip
import hashlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import manifest, records
from preprocessing import config, corpora, shards
from tests import small_data


def _config(**corpus) -> config.BuildConfig:
    return config.BuildConfig(
        output=config.OutputConfig(data_dir="unused"),
        corpus=config.CorpusConfig(**({"train": ("unused",)} | corpus)),
        subwords=config.SubwordConfig(),
        cleaning=config.CleaningConfig(max_bytes=60),
    )


def _write(tmp_path, data_dir, rows, build, num_shards=3):
    """Encodes rows with the small vocabulary, writes them, and returns the splits."""
    folder = tmp_path / hashlib.sha256(repr(rows).encode()).hexdigest()[:12]
    folder.mkdir(exist_ok=True)
    model = data_dir / "shared.model"
    encoder = shards.Encoder(model, model, build)
    split = None if build.corpus.test_fraction else "train"
    source = corpora.Source("made up", split, (), lambda: iter(rows))
    writer = shards.Writer(folder, {"train": num_shards, "valid": 1, "test": 1})
    for chunk in shards.chunks([source]):
        for outcome in encoder.encode(chunk):
            writer.add(outcome)
    return folder, writer.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=70), st.binary(max_size=70)), max_size=30))
def test_whatever_the_bytes_every_line_is_written_or_rejected(
    tmp_path_factory, data_dir, pairs
):
    """P3."""
    rows = [corpora.Row(n, src, (tgt,)) for n, (src, tgt) in enumerate(pairs, 1)]
    folder, splits = _write(tmp_path_factory.mktemp("any"), data_dir, rows, _config())
    train = splits["train"]
    rejected = gzip.decompress((folder / "rejects.tsv.gz").read_bytes())
    reject_lines = rejected.decode().split("\n")[1:-1]
    assert train.pairs_read == len(rows)
    assert train.num_records + sum(train.rejects.values()) == len(rows)
    assert len(reject_lines) == sum(train.rejects.values())
    read = list(tf.data.TFRecordDataset([str(p) for p in folder.glob("*.tfrecord")]))
    assert len(read) == train.num_records


def test_records_are_dealt_to_shards_in_turn(tmp_path, data_dir):
    pairs = small_data.pairs(8)
    rows = [
        corpora.Row(n, a.encode(), (b.encode(),)) for n, (a, b) in enumerate(pairs, 1)
    ]
    folder, splits = _write(tmp_path, data_dir, rows, _config())
    assert [shard.records for shard in splits["train"].shards] == [3, 3, 2]
    assert [shard.name for shard in splits["train"].shards] == [
        f"train-0000{index}-of-00003.tfrecord" for index in range(3)
    ]
    for shard in splits["train"].shards:
        path = folder / shard.name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == shard.sha256
        lengths = records.read_lengths(path, shard.records).astype(int)
        assert lengths.sum(axis=0).tolist() == [shard.src_tokens, shard.tgt_tokens]


def test_shards_without_a_record_are_not_there(tmp_path, data_dir):
    rows = [corpora.Row(1, b"ba du", (b"ab",))]
    folder, splits = _write(tmp_path, data_dir, rows, _config())
    assert [shard.name for shard in splits["train"].shards] == [
        "train-00000-of-00001.tfrecord"
    ]
    assert splits["valid"].shards == []
    assert len(list(folder.glob("*.tfrecord"))) == 1


def test_only_valid_and_test_keep_their_text(tmp_path, data_dir):
    rows = [corpora.Row(n, b"ba %d" % n, (b"ab",)) for n in range(200)]
    build = _config(test_fraction=0.5)
    folder, splits = _write(tmp_path, data_dir, rows, build)
    texts = records.read_texts([folder / splits["test"].shards[0].name])
    assert 60 < len(texts) < 140
    assert {src for src, _ in texts} <= {f"ba {n}" for n in range(200)}
    train = tf.data.TFRecordDataset(str(folder / splits["train"].shards[0].name))
    for serialized in train:
        feature = tf.train.Example.FromString(serialized.numpy()).features.feature
        assert "src_text" not in feature


@pytest.mark.parametrize("split_by", ["source", "line"])
def test_a_split_by_hash_is_about_as_large_as_asked(split_by):
    build = _config(valid_fraction=0.1, test_fraction=0.2, split_by=split_by)
    drawn = [
        shards.split_of(None, corpora.Row(n, b"%d" % n, (b"",)), build)
        for n in range(5000)
    ]
    assert drawn.count("valid") == pytest.approx(500, abs=80)
    assert drawn.count("test") == pytest.approx(1000, abs=110)


def test_pairs_with_one_source_are_in_one_split_unless_drawn_by_line():
    by_source = _config(test_fraction=0.5)
    by_line = _config(test_fraction=0.5, split_by="line")
    rows = [corpora.Row(n, b"same", (b"",)) for n in range(50)]
    assert len({shards.split_of(None, row, by_source) for row in rows}) == 1
    assert len({shards.split_of(None, row, by_line) for row in rows}) == 2


def test_the_histogram_counts_every_record(tmp_path, data_dir):
    pairs = small_data.pairs(50)
    rows = [corpora.Row(n, a.encode(), (b.encode(),)) for n, (a, b) in enumerate(pairs)]
    folder, splits = _write(tmp_path, data_dir, rows, _config())
    lengths = np.concatenate(
        [
            records.read_lengths(folder / shard.name, shard.records)
            for shard in splits["train"].shards
        ]
    )
    values, counts = np.unique(lengths, axis=0, return_counts=True)
    histogram = splits["train"].joint_histogram()
    assert histogram.tolist() == np.column_stack([values, counts]).tolist()
    assert manifest.SPLITS == ("train", "valid", "test")
