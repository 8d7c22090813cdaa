import numpy as np
import pytest
import tensorflow as tf

from pipeline import exits
from tests import small_models
from trainers import attention_maps, translation
from trainers.models import build


@pytest.fixture(scope="module")
def both(data_dir):
    return small_models.vocabularies(data_dir)


@pytest.fixture(scope="module")
def reader(both):
    return attention_maps.Reader(small_models.decisive_transformer(both), both)


def _hypothesis(both, text, *, finished=True):
    (ids,) = both.tgt.encode([text])
    return translation.Hypothesis(text, -1.0, finished, tuple(ids))


def test_subwords_stand_on_both_axes_and_rows_sum_to_one(both, reader):
    found = reader.read("ba du", _hypothesis(both, "ki"))
    assert "".join(found.src_pieces) == "▁ba▁du</s>"
    assert "".join(found.tgt_pieces) == "▁ki</s>"
    assert found.weights.shape == (2, 2, len(found.tgt_pieces), len(found.src_pieces))
    assert found.weights.sum(axis=-1) == pytest.approx(1)


def test_a_cut_hypothesis_has_no_end(both, reader):
    found = reader.read("ba du", _hypothesis(both, "ki", finished=False))
    assert "".join(found.tgt_pieces) == "▁ki"


@pytest.mark.parametrize(
    ("text", "said", "finished"), [("", "ki", True), ("ba", "", False)]
)
def test_there_is_no_map_of_nothing(both, reader, text, said, finished):
    assert reader.read(text, _hypothesis(both, said, finished=finished)) is None


def test_layers_and_heads_are_chosen_or_averaged():
    weights = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    found = attention_maps.AttentionMap(["a", "b"], ["c", "d"], weights)
    np.testing.assert_array_equal(found.chosen(1, 2), weights[1, 2])
    np.testing.assert_allclose(found.chosen(-1, 2), (weights[0, 2] + weights[1, 2]) / 2)
    np.testing.assert_allclose(found.chosen(1, -1), weights[1].sum(0) / 3)
    np.testing.assert_allclose(found.chosen(-1, -1), weights.sum((0, 1)) / 6)


@pytest.mark.parametrize(("layer", "head"), [(2, 0), (0, 2)])
def test_what_the_model_does_not_have_is_refused(both, reader, layer, head):
    found = reader.read("ba du", _hypothesis(both, "ki"))
    attention_maps.check_choice(found, 1, 1)
    with pytest.raises(exits.Refusal, match="the model has 2, counted from 0"):
        attention_maps.check_choice(found, layer, head)


def test_a_model_without_attention_is_refused(both):
    with pytest.raises(exits.Refusal, match="^the model .* no attention") as refused:
        attention_maps.Reader(tf.Module(), both)
    assert refused.value.code == exits.MISMATCH


@pytest.mark.parametrize("attention", ["bahdanau", "luong"])
def test_a_recurrent_model_has_a_map_of_one_layer_and_head(both, attention):
    model = build.sized(
        small_models.config("rnn", attention=attention),
        src_vocab_size=both.src.size,
        tgt_vocab_size=both.tgt.size,
        shared=both.shared,
        rng=np.random.default_rng(1),
    )
    found = attention_maps.Reader(model, both).read("ba du", _hypothesis(both, "ki"))
    assert found.weights.shape == (1, 1, len(found.tgt_pieces), len(found.src_pieces))
    assert found.weights.sum(axis=-1) == pytest.approx(1)
