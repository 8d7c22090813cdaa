import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching
from tests import small_models
from trainers import evaluation_step
from trainers.models import transformer

SIZE = 100


def _batch(rows, src_length, tgt_length, seed=0):
    draw = np.random.default_rng(seed)
    src, tgt = (
        tf.constant(draw.integers(4, SIZE, (rows, length)), tf.int32)
        for length in (src_length, tgt_length)
    )
    return batching.Batch(
        src, tf.concat([tf.ones_like(tgt[:, :1]), tgt[:, :-1]], 1), tgt
    )


def test_evaluation_is_the_mean_over_all_tokens_of_all_batches():
    model = transformer.Transformer(
        small_models.transformer_config(num_layers=1),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
        shared=True,
        rng=np.random.default_rng(1),
    )
    evaluation = evaluation_step.EvaluationStep(model)
    one, other = _batch(2, 3, 4), _batch(5, 3, 9, seed=1)
    means = [evaluation([batch])["loss"] for batch in (one, other)]
    wanted = (8 * means[0] + 45 * means[1]) / 53
    assert evaluation([one, other])["loss"] == pytest.approx(wanted, rel=1e-6)
