import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching, config, data_sources, examples, input_pipeline
from trainers import noise, optimizer_config, retrieval, train_step
from trainers.models import config as model_config
from trainers.models import seq2vec_config, text_pairs

_ENCODER = seq2vec_config.EncoderConfig(
    d_model=32,
    num_layers=1,
    dropout_rate=0.1,
    transformer=model_config.TransformerConfig(d_ff=24, num_heads=2),
)


def _model(shared):
    return text_pairs.TextPairs(
        _ENCODER,
        seq2vec_config.HeadConfig(head="embedding"),
        src_vocab_size=100,
        tgt_vocab_size=100,
        shared=shared,
        rng=np.random.default_rng(1),
    )


def test_accuracy_is_that_of_a_loop_over_more_rows_than_a_block():
    draw = np.random.default_rng(0)
    answers = draw.normal(size=(1500, 16))
    queries = answers + draw.normal(0, 1.0, answers.shape)
    answers /= np.linalg.norm(answers, axis=1, keepdims=True)
    keys = [b"%d" % index for index in range(1500)]
    wanted = np.mean([np.argmax(answers @ queries[row]) == row for row in range(1500)])
    assert 0.05 < wanted < 0.95
    assert retrieval.accuracy(queries, answers, keys) == pytest.approx(wanted)


def test_of_answers_that_are_the_same_any_is_right():
    vectors = np.eye(3)[[0, 0, 1]]
    assert retrieval.accuracy(vectors, vectors, [b"a", b"a", b"b"]) == 1.0
    assert retrieval.accuracy(vectors, vectors, [b"a", b"c", b"b"]) < 1.0


@pytest.mark.parametrize("shared", [True, False])
def test_vectors_of_pairs_learn_to_find_each_other(data_dir, shared):
    asked = config.BatchConfig(tokens_per_batch=512, num_buckets=3)
    source, held_out = (
        data_sources.open_split(data_dir, split, asked, seed=1, kind=examples.TEXTS)
        for split in ("train", "valid")
    )
    model = _model(shared)
    step = train_step.TrainStep(
        model,
        optimizer_config.OptimizerConfig(),
        label_smoothing=0.0,
        seed=1,
        spec=source.kind.spec,
    )
    evaluate = retrieval.RetrievalStep(model)
    before = evaluate.measure(input_pipeline.epoch(held_out))
    for batch in input_pipeline.batches(source, num_epochs=10):
        step([batch], 0.005)
    after = evaluate.measure(input_pipeline.epoch(held_out))
    assert after["retrieval_accuracy"] > before["retrieval_accuracy"] + 0.2
    assert after["retrieval_accuracy_back"] > 0.3
    assert after["loss"] < before["loss"]
    assert step.num_traces == evaluate.num_traces == 1
    totals = step.totals.take()
    assert totals["num_tokens"] == 10 * 300
    real = totals["src_tokens"] + totals["num_tokens"]
    assert 0.5 < real / totals["padded"] <= 1.0


def test_a_batch_of_one_pair_many_times_has_no_wrong_answers():
    model = _model(shared=False)
    ids = np.full((5, 3), 7, np.int32)
    batch = batching.TextsBatch(tf.constant(ids), tf.constant(ids + 1))
    sums = model.losses(batch, smoothing=tf.constant(0.0), draw=noise.NONE)
    assert (float(sums.nll_sum), float(sums.num_correct)) == (0.0, 5.0)


def test_two_encoders_have_weights_of_their_own_and_one_has_its_once():
    def count(shared):
        return len(_model(shared).trainable_variables)

    assert count(shared=False) == 2 * count(shared=True)
