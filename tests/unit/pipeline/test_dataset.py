import keras
import numpy as np
import pytest

from pipeline import config, dataset, exits
from tests import keras_example

BATCH = config.BatchConfig(tokens_per_batch=512, num_buckets=3)


def test_a_keras_model_is_fitted_and_learns(data_dir):
    data = dataset.from_directory(str(data_dir), batch=BATCH)
    keras.utils.set_random_seed(1)
    model = keras_example.make(data.src_vocab_size, data.tgt_vocab_size)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    history = model.fit(
        data.for_keras(),
        steps_per_epoch=data.steps_per_epoch,
        epochs=3,
        shuffle=False,
        verbose=0,
    )
    assert history.history["loss"][-1] < 0.8 * history.history["loss"][0]


def test_an_epoch_has_the_steps_that_are_said(data_dir):
    data = dataset.from_directory(str(data_dir), batch=BATCH)
    assert len(list(data.batches(num_epochs=1))) == data.steps_per_epoch


def test_weights_count_tokens_and_not_padding(data_dir):
    data = dataset.from_directory(str(data_dir), "valid", BATCH)
    num_tokens = 0
    for (src, tgt_in), tgt_out, weights in data.for_keras(num_epochs=1):
        assert src.shape[0] == tgt_in.shape[0] == tgt_out.shape[0]
        np.testing.assert_array_equal(weights, (tgt_out.numpy() != 0).astype("f4"))
        num_tokens += int(weights.numpy().sum())
    shards = data.source.plan.shards
    assert num_tokens == sum(int(s.lengths[0][:, 1].sum()) + 20 for s in shards)


def test_a_directory_that_is_not_there_is_refused():
    with pytest.raises(exits.Refusal, match="--data_dir=nowhere"):
        dataset.from_directory("nowhere")
