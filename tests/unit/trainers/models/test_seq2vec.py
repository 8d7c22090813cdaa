import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching
from trainers import naming, noise, optimizer_config, train_step
from trainers.models import config as model_config
from trainers.models import seq2vec, seq2vec_config

POOLINGS = ("mean", "max", "last", "cls", "attention")
MODELS = ("transformer", "bilstm", "bigru")
SIZE, CLASSES = 50, 3
_ENCODER = seq2vec_config.EncoderConfig(
    d_model=16,
    num_layers=2,
    dropout_rate=0.0,
    transformer=model_config.TransformerConfig(d_ff=24, num_heads=2),
)


def _model(pooling="mean", model="transformer", dtype="float32", **changes):
    head = seq2vec_config.HeadConfig(
        pooling=pooling, head_units=24, head_dropout_rate=0.0
    )
    return seq2vec.Classifier(
        dataclasses.replace(_ENCODER, model=model, **changes),
        head,
        vocab_size=SIZE,
        num_classes=CLASSES,
        rng=np.random.default_rng(1),
        dtype=dtype,
    )


def _batch(lengths, width, seed=0):
    draw = np.random.default_rng(seed)
    ids = np.zeros((len(lengths), width), np.int32)
    for row, length in enumerate(lengths):
        ids[row, : length - 1] = draw.integers(4, SIZE, length - 1)
        ids[row, length - 1] = 2
    shares = np.eye(CLASSES, dtype=np.float32)[draw.integers(CLASSES, size=len(ids))]
    return batching.LabelBatch(tf.constant(ids), tf.constant(shares))


def _step(model, **changes):
    return train_step.TrainStep(
        model,
        optimizer_config.OptimizerConfig(**changes),
        label_smoothing=0.0,
        seed=1,
        spec=batching.label_spec(CLASSES),
    )


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("model", MODELS)
def test_a_text_has_the_same_scores_whatever_its_padding_and_neighbours(pooling, model):
    made = _model(pooling, model)
    lengths = (7, 1, 4)
    wide = _batch(lengths, 11).src_ids
    together = made.logits(wide).numpy()
    for row, length in enumerate(lengths):
        alone = made.logits(wide[row : row + 1, :length]).numpy()
        np.testing.assert_allclose(together[row : row + 1], alone, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("model", MODELS)
def test_it_learns_a_handful_of_texts_in_one_trace(pooling, model):
    step = _step(_model(pooling, model))
    batches = [_batch((3, 6, 2, 5), 6), _batch((8, 4), 9, seed=1)]
    for number in range(120):
        step([batches[number % 2]], 0.01)
    step.totals.take()
    for batch in batches:
        step([batch], 0.0)
    totals = step.totals.take()
    assert totals["num_correct"] == totals["num_tokens"] == 6
    assert step.num_traces == 1
    assert totals["padded"] == 4 * (6 + 1) + 2 * (9 + 1)  # a label is one token


def test_an_encoder_is_as_deep_as_was_asked():
    deep = dataclasses.replace(_ENCODER.transformer, encoder_layers=3)
    assert len(_model(transformer=deep).text.encoder.encoder) == 3
    assert len(_model().text.encoder.encoder) == 2
    for given in (
        {"decoder_layers": 1},
        {"tied_embeddings": "all"},
        {"positions": "rotary_all"},
    ):
        other = dataclasses.replace(_ENCODER.transformer, **given)
        with pytest.raises(ValueError, match="there is no decoder here"):
            dataclasses.replace(_ENCODER, transformer=other)


def test_filler_rows_change_no_update():
    def update(batch):
        model = _model()
        _step(model)([batch], 0.01)
        return {name: v.numpy() for name, v in naming.variables(model).items()}

    batch = _batch((5, 3), 5)
    filled = batching.LabelBatch(
        tf.concat([batch.src_ids, tf.constant([[2, 0, 0, 0, 0]])], axis=0),
        tf.concat([batch.shares, tf.zeros([1, CLASSES])], axis=0),
    )
    before, after = update(batch), update(filled)
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-4, atol=1e-5)


def test_accumulated_parts_give_the_gradient_of_the_whole():
    batch = _batch((5, 3, 4, 5), 5)
    whole, parts = _model(), _model()
    _step(whole, optimizer="sgd", momentum=0.0)([batch], 0.1)
    halves = [batching.LabelBatch(*(v[k : k + 2] for v in batch)) for k in (0, 2)]
    step = _step(parts, optimizer="sgd", momentum=0.0, accumulate_steps=2)
    step(halves, 0.1)
    there = naming.variables(parts)
    for name, variable in naming.variables(whole).items():
        np.testing.assert_allclose(
            there[name].numpy(), variable.numpy(), rtol=1e-4, atol=1e-6
        )


def test_word_dropout_replaces_words_alone_and_only_while_training():
    ids = _batch((40,), 48).src_ids
    step = tf.constant(5, tf.int64)
    dropped = seq2vec.drop_words(ids, 0.5, noise.Noise(1, step)).numpy()
    changed = dropped != ids.numpy()
    assert 8 < changed.sum() < 32
    assert (dropped[changed] == 3).all()
    assert (ids.numpy()[changed] > 3).all()
    again = seq2vec.drop_words(ids, 0.5, noise.Noise(1, step)).numpy()
    np.testing.assert_array_equal(dropped, again)
    other = seq2vec.drop_words(ids, 0.5, noise.Noise(1, step + 1)).numpy()
    assert (other != dropped).any()
    np.testing.assert_array_equal(seq2vec.drop_words(ids, 0.5, noise.NONE), ids)


def test_class_weights_move_the_loss_and_not_what_is_reported():
    batch = _batch((5, 3, 4), 5)
    args = {"smoothing": tf.constant(0.0), "draw": noise.NONE}
    plain = _model().losses(batch, **args)
    weighted = _model()
    weighted._class_weights = np.full(CLASSES, 3.0)
    found = weighted.losses(batch, **args)
    assert float(found.loss_sum) == pytest.approx(3 * float(plain.loss_sum), rel=1e-5)
    assert float(found.nll_sum) == pytest.approx(float(plain.nll_sum), rel=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_sixteen_bits_inside_give_scores_of_32(model):
    wide, narrow = _model(model=model), _model(model=model, dtype="bfloat16")
    ids = _batch((5, 3), 5).src_ids
    found = narrow.logits(ids)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found.numpy(), wide.logits(ids).numpy(), atol=0.1)
