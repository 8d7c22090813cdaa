"""Labelled texts from a data directory to batches; pairs are in test_input_pipeline."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline import (
    batching,
    config,
    data_sources,
    epoch,
    examples,
    exits,
    input_pipeline,
    manifest,
    records,
)
from pipeline import plan as plan_lib
from tests import small_labels
from trainers import memory_trial


@pytest.fixture(scope="module", params=[False, True], ids=["hard", "soft"])
def labelled(request, tmp_path_factory):
    """A data directory with labels of each kind."""
    folder = tmp_path_factory.mktemp("labels")
    return small_labels.make(folder, soft=request.param)


def _open(data_dir, split="train", **changes):
    settings = {"tokens_per_batch": 256, "num_buckets": 4, "pool_examples": 100}
    batch = config.BatchConfig(**(settings | changes))
    return data_sources.open_split(data_dir, split, batch, seed=3)


def _arrays(batches):
    return [[values.numpy().tolist() for values in batch] for batch in batches]


def _records(source):
    """Returns ids and shares of every record, read without our parser."""
    found = []
    for (shard,) in source.shards:
        for serialized in tf.data.TFRecordDataset(str(shard)):
            feature = tf.train.Example.FromString(serialized.numpy()).features.feature
            shares = list(feature["label_shares"].float_list.value)
            if not shares:
                shares = np.eye(3)[feature["label"].int64_list.value[0]].tolist()
            found.append((list(feature["src_ids"].int64_list.value), shares))
    return sorted(found)


def test_an_epoch_holds_every_text_once_with_its_label(labelled):
    source = _open(labelled)
    found = []
    for batch in input_pipeline.epoch(source):
        for ids, shares in zip(*_arrays([batch])[0], strict=True):
            if sum(shares):
                assert ids[ids.index(2) :] == [2] + [0] * (len(ids) - ids.index(2) - 1)
                found.append((ids[: ids.index(2)], shares))
    assert sorted(found) == _records(source)


def test_a_fresh_pipeline_from_any_batch_has_the_same_tail(labelled):
    source = _open(labelled)
    assert len(source.plan.pools(0)) > 1
    whole = _arrays(input_pipeline.batches(source, num_epochs=2))
    cursor = source.plan.settle(plan_lib.START)
    for index in range(len(whole)):
        if index % 5 == 0:
            tail = input_pipeline.batches(_open(labelled), cursor, num_epochs=2)
            assert _arrays(tail) == whole[index:], f"from {cursor}"
        cursor = source.plan.advance(cursor)


def test_no_budget_is_spent_on_a_target_side(labelled):
    source = _open(labelled)
    buckets = source.plan.buckets
    assert set(buckets.tgt.tolist()) == {1}
    assert buckets.rows.tolist() == (256 // buckets.src).tolist()
    assert len(buckets) == 4


def test_counts_of_batches_are_the_numbers_of_the_plan(labelled):
    source = _open(labelled)
    numbers = epoch.of(source.plan)
    real = padded = 0
    for batch in input_pipeline.epoch(source):
        counts = batching.count(batch)
        texts = int((batch.shares.numpy().sum(axis=1) > 0).sum())
        fillers = len(batch.shares) - texts
        real += int(counts.src_tokens) - fillers + texts
        padded += int(counts.padded)
    assert real / padded == pytest.approx(numbers.fill)


def test_batches_have_the_signature_and_none_is_larger_than_those_tried(labelled):
    """FAULTS 53."""
    source = _open(labelled)
    tried = memory_trial.largest_batches(source.plan, source.kind)
    largest = max(batch.src_ids.shape.num_elements() for batch in tried)
    for batch in [*input_pipeline.batches(source, num_epochs=2), *tried]:
        assert batch.src_ids.shape.num_elements() <= largest
        for values, spec in zip(batch, source.kind.spec, strict=True):
            assert spec.is_compatible_with(values)


def test_filler_rows_have_a_source_eos_and_no_share():
    src = tf.ragged.constant([[11], [0]], tf.int32, row_splits_dtype=tf.int64)
    rows = tf.constant([0, -1], tf.int64)
    for labels in (tf.constant([2]), tf.constant([[0.0, 0.25, 0.75]])):
        batch = batching.to_labelled(src, labels, rows, tf.constant(2), 3)
        assert batch.src_ids.numpy().tolist() == [[11, 2], [2, 0]]
        wanted = [0, 0, 1] if labels.shape.rank == 1 else [0, 0.25, 0.75]
        assert batch.shares.numpy().tolist() == [wanted, [0, 0, 0]]


def test_a_label_that_is_no_class_is_an_error_and_not_a_filler():
    serialized = tf.constant([records.serialize_labelled([5, 6], 3)])
    kind = examples.Labelled(num_classes=3, is_soft=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="none of the 3 classes"):
        kind.parse(serialized)


def test_classes_of_pairs_and_pairs_of_classes_are_refused(labelled, data_dir):
    assert manifest.read(labelled).classes() == list(small_labels.CLASSES)
    with pytest.raises(exits.Refusal, match="--task=labels"):
        manifest.read(data_dir).classes()
    with pytest.raises(exits.Refusal, match="--task=pairs"):
        manifest.read(labelled).pair_vocabularies()
