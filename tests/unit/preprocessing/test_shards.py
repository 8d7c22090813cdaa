import dataclasses
import functools
import gzip
import hashlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from pipeline import exits, manifest, records, sidecars, vocabulary
from preprocessing import (
    accounts,
    chunks,
    config,
    corpora,
    corpus_config,
    encoder,
    rows,
    shards,
    splitting,
    subword_config,
)
from tests import small_data


def _config(**corpus) -> config.BuildConfig:
    return config.BuildConfig(
        output=config.OutputConfig(data_dir="unused"),
        corpus=corpus_config.CorpusConfig(**({"train": ("unused",)} | corpus)),
        task=config.TaskConfig(),
        subwords=subword_config.SubwordConfig(),
        cleaning=config.CleaningConfig(max_bytes=60),
    )


def _write(tmp_path, data_dir, given, build, *, num_shards=3, weight=1.0, marks=None):
    """Encodes rows with the small vocabulary, writes them, and returns the splits."""
    folder = tmp_path / hashlib.sha256(repr(given).encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    model = data_dir / "shared.model"
    counts = {"train": num_shards, "valid": 1, "test": 1}
    labels = build.task.label_names
    encode = encoder.make(
        encoder.Recipe(
            src_model=model,
            tgt_model=None if labels else model,
            label_names=labels,
            renamed=None,
            num_shards=tuple(counts.items()),
            build=build,
        )
    )
    split = None if build.corpus.test_fraction else "train"
    source = corpora.Source(
        "made up", split, weight, (), read_rows=functools.partial(iter, given)
    )
    segmentations = max(1, build.subwords.subword_samples)
    writer = shards.Writer(folder, counts, segmentations, 1)
    try:
        for chunk in chunks.of_sources([source], 1000):
            writer.add(encode(encoder.Work(chunk, marks)))
        return folder, writer.close()
    finally:
        writer.abandon()


def _rows(count: int) -> list[rows.Row]:
    return [
        rows.Row(number, src.encode(), (tgt.encode(),))
        for number, (src, tgt) in enumerate(small_data.pairs(count), start=1)
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=70), st.binary(max_size=70)), max_size=30))
def test_whatever_the_bytes_every_line_is_written_or_rejected(
    tmp_path_factory, data_dir, pairs
):
    """P3."""
    found = [rows.Row(n, src, (tgt,)) for n, (src, tgt) in enumerate(pairs, 1)]
    folder, splits = _write(tmp_path_factory.mktemp("any"), data_dir, found, _config())
    train = splits["train"]
    rejected = gzip.decompress((folder / "rejects.tsv.gz").read_bytes())
    reject_lines = rejected.decode().split("\n")[1:-1]
    assert train.pairs_read == len(found)
    assert train.num_records + sum(train.rejects.values()) == len(found)
    assert len(reject_lines) == sum(train.rejects.values())
    read = list(tf.data.TFRecordDataset([str(p) for p in folder.glob("*.tfrecord")]))
    assert len(read) == train.num_records


def test_records_are_dealt_to_shards_in_turn(tmp_path, data_dir):
    folder, splits = _write(tmp_path, data_dir, _rows(8), _config())
    assert [shard.records for shard in splits["train"].shards] == [3, 3, 2]
    assert [shard.name for shard in splits["train"].shards] == [
        f"train-0000{index}-of-00003.tfrecord" for index in range(3)
    ]
    for shard in splits["train"].shards:
        path = folder / shard.name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == shard.sha256
        lengths = sidecars.read_lengths(path, shard.records).astype(int)
        assert lengths.sum(axis=0).tolist() == [shard.src_tokens, shard.tgt_tokens]


def test_shards_without_a_record_are_not_there(tmp_path, data_dir):
    found = [rows.Row(1, b"ba du", (b"ab",))]
    folder, splits = _write(tmp_path, data_dir, found, _config())
    assert [shard.name for shard in splits["train"].shards] == [
        "train-00000-of-00001.tfrecord"
    ]
    assert splits["valid"].shards == []
    assert len(list(folder.glob("*.tfrecord"))) == 1


def test_only_valid_and_test_keep_their_text(tmp_path, data_dir):
    found = [rows.Row(n, b"ba %d" % n, (b"ab",)) for n in range(200)]
    build = _config(test_fraction=0.5)
    folder, splits = _write(tmp_path, data_dir, found, build)
    texts = records.read_texts([folder / splits["test"].shards[0].name])
    assert 60 < len(texts) < 140
    assert {src for src, _ in texts} <= {f"ba {n}" for n in range(200)}
    train = tf.data.TFRecordDataset(str(folder / splits["train"].shards[0].name))
    for serialized in train:
        feature = tf.train.Example.FromString(serialized.numpy()).features.feature
        assert "src_text" not in feature


def _chunk(weight: float = 1.0) -> chunks.Chunk:
    return chunks.Chunk(0, None, weight, "made up", 0, 0, 1, 0, None, 0, None, [])


@pytest.mark.parametrize("split_by", ["source", "line"])
def test_a_split_by_hash_is_about_as_large_as_asked(split_by):
    build = _config(valid_fraction=0.1, test_fraction=0.2, split_by=split_by)
    found = [rows.Row(n, b"%d" % n, (b"",)) for n in range(5000)]
    drawn = splitting.splits_of(_chunk(), found, build)
    assert drawn.count("valid") == pytest.approx(500, abs=80)
    assert drawn.count("test") == pytest.approx(1000, abs=110)


def test_pairs_with_one_source_are_in_one_split_unless_drawn_by_line():
    by_source = _config(test_fraction=0.5)
    by_line = _config(test_fraction=0.5, split_by="line")
    found = [rows.Row(n, b"same", (b"",)) for n in range(50)]
    assert len(set(splitting.splits_of(_chunk(), found, by_source))) == 1
    assert len(set(splitting.splits_of(_chunk(), found, by_line))) == 2


def test_blanks_around_a_source_do_not_put_it_into_another_split():
    """What `duplicates` takes for the same source is in one split, too."""
    found = [
        rows.Row(n, blanks % n, (b"",))
        for n in range(50)
        for blanks in (b"%d", b" %d", b"%d\t", b"  %d ")
    ]
    drawn = splitting.splits_of(_chunk(), found, _config(test_fraction=0.5))
    assert all(len(set(drawn[n : n + 4])) == 1 for n in range(0, 200, 4))
    assert set(drawn) == {"train", "test"}


def test_the_histogram_counts_every_record(tmp_path, data_dir):
    folder, splits = _write(tmp_path, data_dir, _rows(50), _config())
    lengths = np.concatenate(
        [
            sidecars.read_lengths(folder / shard.name, shard.records)
            for shard in splits["train"].shards
        ]
    )
    values, counts = np.unique(lengths, axis=0, return_counts=True)
    histogram = splits["train"].joint_histogram()
    assert histogram.tolist() == np.column_stack([values, counts]).tolist()


def test_lengths_written_in_many_parts_are_those_written_at_once(
    tmp_path, data_dir, monkeypatch
):
    given = _rows(2 * chunks.CHUNK_ROWS + 100)
    folder, splits = _write(tmp_path / "once", data_dir, given, _config())
    monkeypatch.setattr(shards, "_WAITING_BYTES", 12)  # of three records
    parts, again = _write(tmp_path / "parts", data_dir, given, _config())
    assert again == splits
    for path in sorted(folder.iterdir()):
        assert path.read_bytes() == (parts / path.name).read_bytes()


def _texts_and_ids(folder, split: manifest.Split, segmentation: int = 0):
    for shard in split.segmentations[segmentation]:
        for src, tgt, lengths in records.read_ids(folder / shard.name, 1000):
            assert lengths.tolist() == [
                [len(a), len(b)]
                for a, b in zip(src.to_list(), tgt.to_list(), strict=True)
            ]
            yield from zip(src.to_list(), tgt.to_list(), strict=True)


def _replaced(**groups) -> config.BuildConfig:
    build = _config()
    return dataclasses.replace(
        build,
        **{
            name: dataclasses.replace(getattr(build, name), **given)
            for name, given in groups.items()
        },
    )


@pytest.mark.parametrize(
    ("weight", "least", "most"), [(2, 80, 80), (1.5, 45, 75), (0.5, 5, 35)]
)
def test_a_weight_repeats_pairs_or_leaves_them_out_and_is_accounted_for(
    tmp_path, data_dir, weight, least, most
):
    _, splits = _write(tmp_path, data_dir, _rows(40), _config(), weight=weight)
    train = splits["train"]
    assert least <= train.num_records <= most
    assert train.pairs_read == 40
    assert train.pairs_read + train.repeats == train.num_records + sum(
        train.rejects.values()
    )
    assert set(train.rejects) <= {"weight"}


def test_marked_rows_are_left_out_with_their_reason(tmp_path, data_dir):
    marks = bytes([0, 1, 2, 0])
    _, splits = _write(tmp_path, data_dir, _rows(4), _config(), marks=marks)
    assert splits["train"].rejects == {"duplicate": 1, "overlap": 1}
    assert splits["train"].num_records == 2


def test_overlong_pairs_are_cut_where_that_is_asked_and_counted(tmp_path, data_dir):
    """FAULTS 21."""
    build = _replaced(cleaning={"max_length": 6, "overlong": "truncate"})
    folder, splits = _write(tmp_path, data_dir, _rows(30), build)
    pairs = list(_texts_and_ids(folder, splits["train"]))
    assert len(pairs) == 30
    assert max(len(side) for pair in pairs for side in pair) == 5
    assert 0 < splits["train"].truncated <= 30


def test_each_reference_of_a_training_row_is_a_pair(tmp_path, data_dir):
    row = rows.Row(1, b"ba du", (b"ab", b"ud"))
    _, splits = _write(tmp_path, data_dir, [row], _config())
    assert (splits["train"].pairs_read, splits["train"].num_records) == (2, 2)


def test_drawn_segmentations_say_the_same_text_and_are_drawn_the_same_again(
    tmp_path, data_dir
):
    build = _replaced(subwords={"subword_samples": 3, "sampling_alpha": 0.1})
    folder, splits = _write(tmp_path, data_dir, _rows(60), build)
    again, _ = _write(tmp_path / "again", data_dir, _rows(60), build)
    model = vocabulary.Vocabulary(data_dir / "shared.model")
    drawn = [list(_texts_and_ids(folder, splits["train"], k)) for k in range(3)]
    assert len(drawn[0]) == len(drawn[1]) == len(drawn[2]) == 60
    assert drawn[0] != drawn[1] != drawn[2]
    texts = [
        [model.decode(list(pair)) for pair in segmentation] for segmentation in drawn
    ]
    assert texts[0] == texts[1] == texts[2]
    for path in sorted(folder.iterdir()):
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_a_pair_that_was_cut_has_the_same_text_in_every_segmentation(
    tmp_path, data_dir
):
    """With a model whose drawn segmentations are shorter than the best one: letters."""
    letters = sentencepiece_model_pb2.ModelProto.FromString(
        (data_dir / "shared.model").read_bytes()
    )
    scores = {piece.piece: piece.score for piece in letters.pieces}
    for piece in letters.pieces[len(vocabulary.SPECIAL_IDS) :]:
        if len(piece.piece) > 1:
            piece.score = sum(scores[letter] for letter in piece.piece) - 0.1
    (tmp_path / "shared.model").write_bytes(letters.SerializeToString())
    build = _replaced(
        subwords={"subword_samples": 3, "sampling_alpha": 0.1},
        cleaning={"max_length": 15, "overlong": "truncate"},
    )
    folder, splits = _write(tmp_path / "out", tmp_path, _rows(60), build)
    assert 0 < splits["train"].truncated < 60
    model = vocabulary.Vocabulary(tmp_path / "shared.model")
    pairs = [list(_texts_and_ids(folder, splits["train"], k)) for k in range(3)]
    assert pairs[0] != pairs[1] != pairs[2]
    texts = [[model.decode(list(pair)) for pair in drawn] for drawn in pairs]
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize("weight", [1, 2.5])
@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.text("abdu €ø", min_size=1, max_size=12)] * 2),
        min_size=1,
        max_size=30,
    )
)
def test_unknown_subwords_are_counted_as_they_stand_in_the_records(
    tmp_path_factory, data_dir, weight, texts
):
    found = [
        rows.Row(number, src.encode(), (tgt.encode(),))
        for number, (src, tgt) in enumerate([("ba", "ab"), *texts], 1)
    ]
    build = _replaced(subwords={"subword_samples": 2})
    folder, splits = _write(
        tmp_path_factory.mktemp("any"), data_dir, found, build, weight=weight
    )
    written = list(_texts_and_ids(folder, splits["train"]))
    unk = vocabulary.UNK_ID
    assert splits["train"].unknown == {
        "src": sum(src.count(unk) for src, _ in written),
        "tgt": sum(tgt.count(unk) for _, tgt in written),
        "records": sum(unk in src + tgt for src, tgt in written),
    }


def test_labels_are_written_as_ids_and_shares(tmp_path, data_dir):
    build = _replaced(
        task={"task": "labels", "label_names": ("a", "b"), "soft_labels": True},
        output={"store_text": True},
    )
    given = [rows.Row(1, b"ba du", (b"0.25 0.75",)), rows.Row(2, b"ki", (b"none",))]
    folder, splits = _write(tmp_path, data_dir, given, build)
    assert splits["train"].rejects == {"label": 1}
    path = folder / splits["train"].shards[0].name
    (serialized,) = tf.data.TFRecordDataset(str(path))
    feature = tf.train.Example.FromString(serialized.numpy()).features.feature
    assert list(feature["label"].int64_list.value) == [1]
    assert list(feature["label_shares"].float_list.value) == [0.25, 0.75]
    assert list(feature["lengths"].int64_list.value)[1] == 0
    assert feature["src_text"].bytes_list.value[0] == b"ba du"
    assert records.read_label_ids(path).tolist() == [1]


def test_an_unknown_label_is_an_error_that_names_it_and_its_line(tmp_path, data_dir):
    build = _replaced(task={"task": "labels", "label_names": ("a", "b")})
    given = [rows.Row(1, b"ba", (b"a",)), rows.Row(9, b"du", (b"c",))]
    with pytest.raises(exits.Refusal, match="made up, line 9 .train.: 'c'") as error:
        _write(tmp_path, data_dir, given, build)
    assert error.value.code == exits.BAD_DATA


def test_a_source_that_is_not_laid_out_as_said_is_refused():
    account = accounts.Account()
    account.rows = 100
    account.rejects.update({"columns": 6, "empty": 50})
    with pytest.raises(exits.Refusal, match="a.tsv: 6 of 100 rows .*columns 6"):
        shards.check_losses(["a.tsv"], [account], 0.05)
    assert shards.check_losses(["a.tsv"], [account], 0.06) == [
        "a.tsv: 6 of 100 rows cannot be read as asked (columns 6); they stand in "
        "rejects.tsv.gz"
    ]


def test_shares_that_cannot_be_read_count_as_not_laid_out_as_said():
    account = accounts.Account()
    account.rows = 100
    account.rejects["label"] = 6
    with pytest.raises(exits.Refusal, match="a.tsv: 6 of 100 rows .*label 6.*--soft_l"):
        shards.check_losses(["a.tsv"], [account], 0.05)


def test_a_source_without_a_row_is_told():
    empty, good = accounts.Account(), accounts.Account()
    good.rows = 1
    told = shards.check_losses(["a.tsv", "b.tsv"], [empty, good], 0.05)
    assert told == ["a.tsv: has no row"]
