import numpy as np
import pytest
import tensorflow as tf

from tests import small_models
from trainers import naming
from trainers.models import repeat_vector, rnn

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
