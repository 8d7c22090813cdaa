import numpy as np
import pytest

from pipeline import config, data_sources, examples, input_pipeline
from trainers import memory_trial


@pytest.mark.parametrize("num_buckets", [1, 3, 12])
@pytest.mark.parametrize("pool_examples", [1, 262_144])
def test_no_batch_of_the_plan_is_larger_than_those_tried(
    data_dir, num_buckets, pool_examples
):
    """FAULTS 53."""
    asked = config.BatchConfig(
        tokens_per_batch=400, num_buckets=num_buckets, pool_examples=pool_examples
    )
    source = data_sources.open_split(data_dir, "train", asked, seed=1)
    tried = memory_trial.largest_batches(source.plan)
    assert 1 <= len(tried) <= 2

    def sizes(batch):
        rows, src = batch.src_ids.shape
        tgt = batch.tgt_in_ids.shape[1]
        return rows * (src + tgt), rows * max(src, tgt) ** 2

    most = np.max([sizes(batch) for batch in tried], axis=0)
    for batch in input_pipeline.batches(source, num_epochs=2):
        assert (np.array(sizes(batch)) <= most).all()
    assert all((batch.tgt_out_ids.numpy() > 2).all() for batch in tried)


def test_where_texts_are_compared_the_batch_with_most_to_compare_is_tried(data_dir):
    """FAULTS 53: scores of all with all are more than tokens where texts are short."""
    asked = config.BatchConfig(tokens_per_batch=400, num_buckets=12)
    kind = examples.TEXTS
    source = data_sources.open_split(data_dir, "train", asked, seed=1, kind=kind)
    tried = memory_trial.largest_batches(source.plan, kind)

    def size(batch):
        first, *_, last = batch
        return first.shape[0] ** 2 * max(first.shape[1], last.shape[1])

    most = max(map(size, tried))
    for batch in input_pipeline.batches(source, num_epochs=2):
        assert size(batch) <= most


def test_the_classes_of_labelled_texts_are_no_length():
    pair = examples.PAIRS.full(64, 40, 6)
    labelled = examples.Labelled(6, is_soft=False).full(64, 40, 1)
    assert memory_trial.told([pair, labelled]) == "64 x (40 + 6), 64 x 40"
