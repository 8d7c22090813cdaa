import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching
from tests import small_models
from trainers import naming, noise
from trainers.models import transformer

SIZE = 20


def _model(norm="pre", shared=True, **changes):
    return transformer.Transformer(
        small_models.transformer_config(norm=norm, **changes),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
        shared=shared,
        rng=np.random.default_rng(1),
    )


def _batch(rows, src_length, tgt_length):
    """Returns a batch of (src, tgt) id lists, padded."""
    src = np.zeros((len(rows), src_length), np.int32)
    into, out = np.zeros((2, len(rows), tgt_length), np.int32)
    for index, (one, other) in enumerate(rows):
        src[index, : len(one) + 1] = [*one, 2]
        into[index, : len(other) + 1] = [1, *other]
        out[index, : len(other) + 1] = [*other, 2]
    return batching.Batch(*map(tf.constant, (src, into, out)))


ROWS = [([5, 6, 7], [8, 9]), ([10], [11, 12, 13]), ([14, 15], [16])]


def _loss_and_gradients(model, batch):
    named = naming.variables(model)
    with tf.GradientTape() as tape:
        found = model.losses(batch, smoothing=tf.constant(0.1), draw=noise.NONE)
    gradients = tape.gradient(found.loss_sum, list(named.values()))
    return found, [tf.convert_to_tensor(gradient) for gradient in gradients]


VARIANTS = [
    {"norm": "pre"},
    {"norm": "post"},
    {"positions": "learned"},
    {"positions": "rotary"},
    {"positions": "rotary_all"},
    {"activation": "gelu"},
    {"activation": "swiglu"},
    {"encoder_layers": 3, "decoder_layers": 1},
    {"tied_embeddings": "none"},
    {"tied_embeddings": "input"},
    {"tied_embeddings": "output"},
    {"tied_embeddings": "output", "shared": False},
]


@pytest.mark.parametrize("given", VARIANTS, ids=str)
def test_loss_and_gradients_do_not_depend_on_the_padding(given):
    model = _model(**given)
    tight, tight_gradients = _loss_and_gradients(model, _batch(ROWS, 4, 4))
    wide, wide_gradients = _loss_and_gradients(model, _batch(ROWS, 9, 7))
    assert float(tight.num_tokens) == float(wide.num_tokens) == 9
    np.testing.assert_allclose(tight.loss_sum, wide.loss_sum, rtol=1e-5)
    for ours, theirs in zip(tight_gradients, wide_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)


def test_a_filler_row_changes_nothing():
    model = _model()
    without, gradients = _loss_and_gradients(model, _batch(ROWS, 4, 4))
    batch = _batch([*ROWS, ([], [])], 4, 4)
    out = batch.tgt_out_ids.numpy()
    out[3] = 0
    filled = batch._replace(tgt_out_ids=tf.constant(out))
    with_filler, filled_gradients = _loss_and_gradients(model, filled)
    np.testing.assert_allclose(without.loss_sum, with_filler.loss_sum, rtol=1e-5)
    for ours, theirs in zip(gradients, filled_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)


def test_the_loss_of_a_batch_is_the_sum_of_its_rows():
    model = _model()
    whole, _ = _loss_and_gradients(model, _batch(ROWS, 4, 4))
    parts = [
        _loss_and_gradients(model, _batch([row], 4, 4))[0].loss_sum for row in ROWS
    ]
    np.testing.assert_allclose(whole.loss_sum, sum(parts), rtol=1e-5)


@pytest.mark.parametrize("given", VARIANTS, ids=str)
def test_decoding_step_by_step_gives_the_scores_of_the_whole(given):
    model = _model(**given)
    batch = _batch(ROWS, 5, 4)
    hidden = tf.reshape(model._hidden(batch, noise.NONE), [3, 4, 16])
    vectors = model._output.vectors[:SIZE]
    wanted = tf.einsum("btd,vd->btv", hidden, vectors)
    state = model.start(batch.src_ids)
    for position in range(4):
        logits, state = model.next_logits(batch.tgt_in_ids[:, position], state)
        real = batch.tgt_out_ids.numpy()[:, position] != 0
        np.testing.assert_allclose(
            logits.numpy()[real], wanted.numpy()[real, position], rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary", "rotary_all"])
def test_hypotheses_of_a_source_are_all_at_the_same_position(positions):
    model = _model(positions=positions)
    rows = [([5, 6, 7], [8, 9, 4]), ([5, 6, 7], [12, 11, 3]), ([5, 6, 7], [8, 3, 6])]
    batch = _batch(rows, 4, 4)
    apart, together = model.start(batch.src_ids), model.start(batch.src_ids[:1])
    together = together._replace(prefix=apart.prefix)
    for position in range(4):
        last = batch.tgt_in_ids[:, position]
        wanted, apart = model.next_logits(last, apart)
        found, together = model.next_logits(last, together)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_later_target_tokens_do_not_change_earlier_scores():
    model = _model()
    one = model._hidden(_batch([([5, 6], [7, 8, 9])], 3, 4), noise.NONE)
    other = model._hidden(_batch([([5, 6], [7, 8, 10])], 3, 4), noise.NONE)
    np.testing.assert_allclose(one[:3], other[:3], rtol=1e-5, atol=1e-6)
    assert np.abs(one[3] - other[3]).max() > 1e-3


def test_variables_are_named_by_attribute_path():
    named = naming.variables(_model(shared=False))
    assert "encoder/0/attention/query/kernel" in named
    assert "decoder/1/source_attention/output/bias" in named
    assert "src_embedding/vectors" in named
    assert len(named) == len(_model(shared=False).trainable_variables)


def test_a_shared_vocabulary_has_one_embedding():
    named = naming.variables(_model(shared=True))
    assert [name for name in named if "embedding" in name] == ["src_embedding/vectors"]


@pytest.mark.parametrize(
    ("ties", "embeddings"),
    [
        ("all", ["src"]),
        ("auto", ["src"]),
        ("input", ["output", "src"]),
        ("output", ["src", "tgt"]),
        ("none", ["output", "src", "tgt"]),
    ],
)
def test_embeddings_are_tied_as_asked(ties, embeddings):
    named = naming.variables(_model(tied_embeddings=ties))
    found = [name for name in named if "embedding" in name]
    assert found == [f"{side}_embedding/vectors" for side in embeddings]


def test_embeddings_of_two_vocabularies_are_not_one():
    with pytest.raises(ValueError, match="--tied_embeddings=all"):
        _model(shared=False, tied_embeddings="all")


def test_what_is_longer_than_learned_positions_shares_the_last():
    model = _model(positions="learned", max_positions=3)
    batch = _batch([([5, 6, 7, 8, 9], [8, 9])], 6, 3)
    last = model.src_positions(tf.constant(2), tf.constant(3)).numpy()
    assert (last == model.src_positions.vectors.numpy()[2]).all()
    assert np.isfinite(_loss_and_gradients(model, batch)[0].loss_sum)


def test_attention_weights_are_dropped_in_training_alone():
    model = _model(attention_dropout_rate=0.5, dropout_rate=0.0)
    batch = _batch(ROWS, 4, 4)

    def loss(draw):
        found = model.losses(batch, smoothing=tf.constant(0.0), draw=draw)
        return float(found.loss_sum)

    one = noise.Noise(1, tf.constant(1, tf.int64))
    assert loss(one) == loss(one) != loss(noise.Noise(1, tf.constant(2, tf.int64)))
    plain = _model(dropout_rate=0.0)
    assert loss(noise.NONE) == pytest.approx(
        float(plain.losses(batch, smoothing=tf.constant(0.0), draw=one).loss_sum)
    )


def test_the_same_seed_makes_the_same_weights():
    for one, other in zip(_model().variables, _model().variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_dropout_is_drawn_anew_each_step_and_the_same_for_the_same():
    model = _model(dropout_rate=0.3)

    def loss(step):
        draw = noise.Noise(1, tf.constant(step, tf.int64))
        batch = _batch(ROWS, 4, 4)
        return float(
            model.losses(batch, smoothing=tf.constant(0.0), draw=draw).loss_sum
        )

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"d_model": 12}, "--d_model=12"),
        ({"d_model": 24, "num_heads": 5}, "--num_heads=5"),
        ({"dropout_rate": 1.0}, "--dropout_rate"),
        ({"num_layers": 0}, "--num_layers"),
        ({"decoder_layers": -1}, "--decoder_layers"),
        ({"attention_dropout_rate": 1.0}, "--attention_dropout_rate"),
        ({"positions": "rotary", "d_model": 24, "num_heads": 8}, "--positions=rotary"),
        (
            {"positions": "rotary_all", "d_model": 24, "num_heads": 8},
            "--positions=rotary_all",
        ),
        ({"r_drop": -1.0}, "--r_drop must be at least 0, got -1"),
        ({"r_drop": 1.0, "dropout_rate": 0.003}, "--r_drop=1.0 compares two dropouts"),
        ({"r_drop": 1.0, "sampling_probability": 0.1}, "--sampling_probability=0.1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        small_models.transformer_config(**given)


def test_r_drop_may_compare_dropouts_of_attention_alone():
    small_models.transformer_config(
        r_drop=1.0, dropout_rate=0.0, attention_dropout_rate=0.1
    )


def test_attention_to_the_source_is_that_of_the_loss_and_sees_no_padding():
    model = _model(num_layers=2)
    src_ids = tf.constant([[5, 6, 7, 2], [8, 2, 0, 0]])
    tgt_in_ids = tf.constant([[1, 5, 6], [1, 7, 0]])
    batch = batching.Batch(src_ids, tgt_in_ids, tgt_in_ids)
    weights = model.attention_weights(batch).numpy()
    assert weights.shape == (2, 2, 2, 3, 4)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert (weights[:, 1, :, :, 2:] == 0).all()
    alone = batching.Batch(src_ids[1:, :2], tgt_in_ids[1:, :2], tgt_in_ids[1:, :2])
    np.testing.assert_allclose(
        model.attention_weights(alone)[:, 0], weights[:, 1, :, :2, :2], atol=1e-6
    )
