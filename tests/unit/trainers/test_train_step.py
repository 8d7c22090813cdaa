import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching, config, input_pipeline
from pipeline import plan as plan_lib
from trainers import config as trainers_config
from trainers import naming, train_step
from trainers.models import config as model_config
from trainers.models import transformer

SIZE = 100


def _model(dropout_rate=0.1):
    return transformer.Transformer(
        model_config.TransformerConfig(
            d_model=16, d_ff=24, num_heads=2, num_layers=1, dropout_rate=dropout_rate
        ),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
        shared=True,
        rng=np.random.default_rng(1),
    )


def _step(**changes):
    settings = {"label_smoothing": 0.1, "seed": 1} | changes
    return train_step.TrainStep(_model(), trainers_config.OptimizerConfig(), **settings)


def _batch(rows, src_length, tgt_length, seed=0):
    draw = np.random.default_rng(seed)
    src, tgt = (
        draw.integers(4, SIZE, (rows, length)).astype(np.int32)
        for length in (src_length, tgt_length)
    )
    into = np.concatenate([np.ones((rows, 1), np.int32), tgt[:, :-1]], axis=1)
    return batching.Batch(*map(tf.constant, (src, into, tgt)))


def test_ten_bucket_shapes_rates_and_evaluations_in_between_run_one_trace(data_dir):
    """Promise P1."""
    step = _step()
    evaluation = train_step.EvaluationStep(step.model)
    source = input_pipeline.open_split(
        data_dir,
        "train",
        config.BatchConfig(tokens_per_batch=200, num_buckets=12),
        seed=1,
    )
    stream = input_pipeline.Stream(source, plan_lib.START)
    shapes = set()
    for number in range(1, 41):
        batch = next(stream)
        shapes.add((*batch.src_ids.shape, batch.tgt_in_ids.shape[1]))
        step(batch, 0.1 / number)
        if number % 10 == 0:
            evaluation([batch, _batch(2, number, 3)])
    stream.close()
    assert len(shapes) >= 10
    assert step.num_traces == 1
    assert evaluation.num_traces == 1


def test_a_second_trace_ends_the_run_with_the_shapes_named():
    """FAULTS 52. A later change of the dtype policy is one way to cause it."""
    step = _step()
    step(_batch(2, 3, 4), 0.1)
    step._traced = tf.function(step._update, autograph=False)
    step(_batch(2, 3, 4), 0.1)
    with pytest.raises(train_step.RetracedError, match=r"traced 2 times.*\(2, 5\)"):
        step(_batch(2, 5, 4), 0.1)


@pytest.mark.parametrize("name", ["learning_rate", "label_smoothing"])
def test_what_changes_during_a_run_is_a_variable_and_has_an_effect(name):
    results = []
    for value in (0.01, 0.2):
        step = _step()
        if name == "label_smoothing":
            step.label_smoothing.assign(value)
        step(_batch(2, 3, 4), value if name == "learning_rate" else 0.1)
        assert step.num_traces == 1
        results.append(naming.variables(step.model)["src_embedding/vectors"].numpy())
    assert np.abs(results[0] - results[1]).max() > 1e-4


def test_two_runs_with_one_seed_are_equal_bit_for_bit():
    def run(seed):
        step = _step(seed=seed)
        for number in range(4):
            step(_batch(3, 4 + number, 5, seed=number), 0.01)
        return {
            name: variable.numpy().tobytes()
            for name, variable in naming.variables(step).items()
        }

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_step_that_is_not_finite_is_skipped_and_counted():
    """FAULTS 37: no weight and no moment moves."""
    step = _step()
    step(_batch(3, 4, 5), 0.01)
    named = naming.variables(step)
    kept = [name for name in named if name.startswith(("model/", "optimizer/"))]
    before = {name: named[name].numpy().tobytes() for name in kept}
    good = step.model.tgt_embedding.vectors.numpy()
    step.model.tgt_embedding.vectors.assign(np.full_like(good, np.nan))
    step(_batch(3, 4, 5), 0.01)
    step.model.tgt_embedding.vectors.assign(good)
    assert {name: named[name].numpy().tobytes() for name in kept} == before
    assert int(step.skipped_steps.numpy()) == 1
    totals = step.totals.take()
    assert (totals["steps"], totals["skipped"]) == (1.0, 1.0)
    assert np.isfinite(list(totals.values())).all()


def test_totals_are_those_of_the_steps_since_they_were_taken():
    step = _step()
    for number in range(3):
        step(_batch(2, 3, 4, seed=number), 0.01)
    totals = step.totals.take()
    assert totals["num_tokens"] == 3 * 2 * 4
    assert totals["src_tokens"] == 3 * 2 * 3
    assert totals["padded"] == 3 * 2 * (3 + 4)
    assert totals["loss_sum"] / totals["num_tokens"] > 1
    assert set(step.totals.take().values()) == {0.0}


def test_every_variable_of_the_step_is_in_the_checkpoint_under_one_name():
    step = _step()
    named = naming.variables(step)
    assert {id(variable) for variable in named.values()} == {
        id(variable) for variable in step.variables
    }


def test_a_model_overfits_a_handful_of_pairs():
    """Every batch a step sees must lower the loss in the end."""
    step = train_step.TrainStep(
        _model(dropout_rate=0.0),
        trainers_config.OptimizerConfig(),
        label_smoothing=0.0,
        seed=1,
    )
    batch = _batch(4, 5, 6)
    for _ in range(150):
        step(batch, 0.01)
    metrics = train_step.EvaluationStep(step.model)([batch])
    assert metrics["loss"] < 0.1
    assert metrics["token_accuracy"] == 1.0


def test_evaluation_is_the_mean_over_all_tokens_of_all_batches():
    model = _model()
    evaluation = train_step.EvaluationStep(model)
    one, other = _batch(2, 3, 4), _batch(5, 3, 9, seed=1)
    means = [evaluation([batch])["loss"] for batch in (one, other)]
    wanted = (8 * means[0] + 45 * means[1]) / 53
    assert evaluation([one, other])["loss"] == pytest.approx(wanted, rel=1e-6)


def test_a_weight_the_loss_does_not_depend_on_is_named():
    model = _model()
    model.forgotten = tf.Variable(1.0)
    step = train_step.TrainStep(
        model, trainers_config.OptimizerConfig(), label_smoothing=0.0, seed=1
    )
    with pytest.raises(ValueError, match="does not depend on: forgotten"):
        step(_batch(2, 3, 4), 0.1)
