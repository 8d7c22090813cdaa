import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching
from tests import small_models
from trainers import naming, noise
from trainers.models import build, recurrent_encoder, repeat_vector, rnn

SIZE = 20


def _model(shared=False, **changes):
    return rnn.Rnn(
        small_models.config("rnn", **changes),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
        shared=shared,
        rng=np.random.default_rng(1),
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"embedding_dim": 12}, "--embedding_dim=12"),
        ({"embedding_dim": -8}, "--embedding_dim=-8"),
        ({"sampling_probability": 1.5}, "--sampling_probability"),
        ({"sampling_warmup_steps": -1}, "--sampling_warmup_steps"),
        ({"d_model": 12}, "--d_model=12"),
    ],
)
def test_knobs_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        small_models.config("rnn", **given)


def test_a_shared_vocabulary_has_one_embedding():
    named = naming.variables(_model(shared=True))
    assert [name for name in named if "embedding" in name] == ["src_embedding/vectors"]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_bridge_copies_maps_or_forgets_the_last_states(cell):
    src = tf.constant([[5, 6, 2], [7, 2, 0]])
    zero, copied, mapped = (
        _model(cell=cell, bridge=bridge).start(src).prefix
        for bridge in ("zero", "copy", "dense")
    )
    assert all(not np.any(part) for state in zero for part in state)
    for state, other in zip(copied, mapped, strict=True):
        for part, mapped_part in zip(state, other, strict=True):
            assert part.shape == mapped_part.shape == (2, 16)
            assert np.abs(part - mapped_part).max() > 1e-3


@pytest.mark.parametrize("attention", ["none", "bahdanau", "luong"])
def test_the_source_counts_even_where_the_bridge_forgets(attention):
    model = _model(attention=attention, bridge="zero")
    first = tf.constant([1])
    one, other = (
        model.next_logits(first, model.start(tf.constant([ids])))[0]
        for ids in ([5, 6, 2], [7, 8, 2])
    )
    assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("attention", ["bahdanau", "luong"])
def test_attention_weights_are_those_of_the_contexts_that_are_read(attention, cell):
    model = build.sized(
        small_models.config("rnn", attention=attention, cell=cell),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
        shared=False,
        rng=np.random.default_rng(1),
    )
    src_ids = tf.constant([[5, 6, 7, 2], [8, 2, 0, 0]])
    tgt_in_ids = tf.constant([[1, 5, 6], [1, 7, 0]])
    weights = model.attention_weights(batching.Batch(src_ids, tgt_in_ids, tgt_in_ids))
    assert weights.shape == (1, 2, 1, 3, 4)
    np.testing.assert_allclose(tf.reduce_sum(weights, -1), tf.ones([1, 2, 1, 3]), 1e-5)
    assert not np.any(weights[:, 1, ..., 2:])
    start = model.start(src_ids)
    stream = recurrent_encoder.embed(model.tgt_embedding, tgt_in_ids, tf.float32)
    _, contexts = model.decoder(stream, start.prefix, start.source, noise.NONE)
    wanted = np.einsum("bts,bsd->tbd", weights[0, :, 0], start.source.values)
    np.testing.assert_allclose(tf.reshape(contexts, wanted.shape), wanted, atol=1e-6)


def test_a_residual_decoder_says_something_else():
    ids, src = tf.constant([1]), tf.constant([[5, 6, 2]])
    one, other = (
        model.next_logits(ids, model.start(src))[0]
        for model in (_model(residual=True), _model(residual=False))
    )
    assert np.abs(one - other).max() > 1e-3


def test_repeat_vector_does_not_read_the_target():
    model = repeat_vector.RepeatVector(
        small_models.config("repeat_vector"),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
        rng=np.random.default_rng(1),
    )
    state = model.start(tf.constant([[5, 6, 2]]))
    one, other = (model.next_logits(tf.constant([k]), state)[0] for k in (4, 9))
    np.testing.assert_array_equal(one, other)
