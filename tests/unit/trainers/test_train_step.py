import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching, config, data_sources, input_pipeline
from pipeline import plan as plan_lib
from tests import small_models
from trainers import evaluation_step, naming, optimizer_config, optimizers, train_step
from trainers.models import transformer

SIZE = 100


def _model(dropout_rate=0.1, dtype="float32"):
    return transformer.Transformer(
        small_models.transformer_config(num_layers=1, dropout_rate=dropout_rate),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
        shared=True,
        rng=np.random.default_rng(1),
        dtype=dtype,
    )


def _step(dropout_rate=0.1, dtype="float32", seed=1, xla=False, frozen=(), **changes):
    return train_step.TrainStep(
        _model(dropout_rate, dtype),
        optimizer_config.OptimizerConfig(**changes),
        label_smoothing=0.1,
        seed=seed,
        dtype=dtype,
        xla=xla,
        frozen=frozen,
    )


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
    evaluation = evaluation_step.EvaluationStep(step.model)
    source = data_sources.open_split(
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
        step([batch], 0.1 / number)
        if number % 10 == 0:
            evaluation([batch, _batch(2, number, 3)])
    stream.close()
    assert len(shapes) >= 10
    assert step.num_traces == 1
    assert evaluation.num_traces == 1


def test_a_second_trace_ends_the_run_with_the_shapes_named():
    """FAULTS 52. A later change of the dtype policy is one way to cause it."""
    step = _step()
    step([_batch(2, 3, 4)], 0.1)
    step._traced = tf.function(step._update, autograph=False)
    step([_batch(2, 3, 4)], 0.1)
    with pytest.raises(train_step.RetracedError, match=r"traced 2 times.*\(2, 5\)"):
        step([_batch(2, 5, 4)], 0.1)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("learning_rate", (0.01, 0.2)),
        ("learning_rate", (np.int32(1), tf.constant(2))),  # an int32 factor too
        ("label_smoothing", (0.01, 0.2)),
        ("ema_decay", (0.01, 0.9)),
        ("loss_scale", (1.0, 1e-6)),
    ],
)
def test_what_changes_during_a_run_is_a_variable_and_has_an_effect(name, values):
    """Promise P1: another value between two steps is used, and nothing is traced."""
    results = []
    for value in values:
        dtype = "float16" if name == "loss_scale" else "float32"
        step = _step(ema_decay=0.5, dtype=dtype)
        step([_batch(2, 3, 4)], 0.01)
        if name == "loss_scale":
            step.loss_scale.value.assign(value)
        elif name != "learning_rate":
            getattr(step, name).assign(value)
        step([_batch(2, 3, 4)], float(value) if name == "learning_rate" else 0.1)
        assert step.num_traces == 1
        named = naming.variables(step)
        looked_at = "ema/values/" if name == "ema_decay" else "model/"
        results.append(named[f"{looked_at}src_embedding/vectors"].numpy())
    assert np.abs(results[0] - results[1]).max() > 1e-5


def test_all_weights_can_be_replaced_between_steps_without_a_trace():
    """Averaged weights are put in and taken out again."""
    step = _step(ema_decay=0.9)
    evaluation = evaluation_step.EvaluationStep(step.model)
    batch = _batch(2, 3, 4)
    for _ in range(3):
        step([batch], 0.05)
    raw = evaluation([batch])["loss"]
    before = {name: v.numpy() for name, v in naming.variables(step).items()}
    with step.averaged_weights():
        averaged = evaluation([batch])["loss"]
    after = {name: v.numpy() for name, v in naming.variables(step).items()}
    assert averaged != raw
    assert evaluation([batch])["loss"] == raw
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)
    step([batch], 0.05)
    assert step.num_traces == evaluation.num_traces == 1


def test_the_moving_average_is_that_of_its_formula():
    step = _step(ema_decay=0.5)
    weight = naming.variables(step)["model/src_embedding/vectors"]
    wanted = weight.numpy()
    for number in range(1, 5):
        step([_batch(2, 3, 4)], 0.05)
        kept = min(0.5, (1 + number) / (10 + number))
        wanted = kept * wanted + (1 - kept) * weight.numpy()
    found = naming.variables(step)["ema/values/src_embedding/vectors"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def _double(module: tf.Module) -> None:
    """Turns the variables of a model into those of float64."""
    for part in (module, *module.submodules):
        for name, value in list(vars(part).items()):
            if isinstance(value, tf.Variable):
                setattr(part, name, tf.Variable(tf.cast(value, tf.float64)))


def _gradient(batches, dtype, accumulate_steps) -> dict[str, np.ndarray]:
    """Returns the gradient of a step: what plain descent takes away at rate 1."""
    model = _model(0.0, dtype)
    if dtype == "float64":
        _double(model)
    settings = optimizer_config.OptimizerConfig(
        optimizer="sgd", momentum=0.0, accumulate_steps=accumulate_steps
    )
    step = train_step.TrainStep(
        model, settings, label_smoothing=0.1, seed=1, dtype=dtype
    )
    before = {name: v.numpy() for name, v in naming.variables(model).items()}
    step(batches, 1.0)
    assert step.num_traces == 1
    return {
        name: before[name] - variable.numpy()
        for name, variable in naming.variables(model).items()
    }


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)]
)
@pytest.mark.parametrize("parts", [2, 3])
def test_accumulated_parts_give_the_gradient_of_the_whole(dtype, tolerance, parts):
    """Promise P4, with parts that have unequally many tokens."""
    whole = _batch(12, 5, 6)
    tgt_out = whole.tgt_out_ids.numpy()
    tgt_out[:4, 2:] = 0  # padding makes the parts unequal
    whole = whole._replace(tgt_out_ids=tf.constant(tgt_out))
    split = [
        batching.Batch(*(ids[12 // parts * k : 12 // parts * (k + 1)] for ids in whole))
        for k in range(parts)
    ]
    one = _gradient([whole], dtype, 1)
    many = _gradient(split, dtype, parts)
    norm = np.sqrt(sum((value**2).sum() for value in one.values()))
    apart = np.sqrt(sum(((one[name] - many[name]) ** 2).sum() for name in one))
    assert norm > 0.1
    assert apart < tolerance * norm


def test_parts_of_a_step_have_noise_of_their_own_and_the_sums_begin_anew():
    step = _step(dropout_rate=0.5, accumulate_steps=2)
    batch = _batch(3, 4, 5)
    for _ in range(2):
        step([batch, batch], 0.01)
    totals = step.totals.take()
    assert totals["steps"] == 2
    assert totals["num_tokens"] == 2 * 2 * 3 * 5
    assert totals["padded"] == 2 * 2 * 3 * 9
    assert int(step._accumulated.count.numpy()) == 0
    assert not any(v.numpy().any() for v in step._accumulated.gradients.values())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_model_learns_in_16_bits_with_weights_of_32(dtype):
    step = _step(dropout_rate=0.0, dtype=dtype)
    batch = _batch(4, 5, 6)
    for _ in range(60):
        step([batch], 0.01)
    assert {v.dtype for v in step.model.trainable_variables} == {tf.float32}
    assert evaluation_step.EvaluationStep(step.model)([batch])["loss"] < 1.0


def test_a_loss_scale_that_overflows_is_halved_and_the_step_skipped():
    step = _step(dtype="float16")
    step.loss_scale.value.assign(1e30)
    step([_batch(3, 4, 5)], 0.01)
    assert int(step.skipped_steps.numpy()) == 1
    assert float(step.loss_scale.value.numpy()) == pytest.approx(5e29)


@pytest.mark.parametrize(
    ("optimizer", "accumulate_steps"),
    [
        ("adam", 2),
        ("adafactor", 1),
        *(
            pytest.param(optimizer, 1, marks=pytest.mark.long)
            for optimizer in optimizers.KINDS
            if optimizer != "adafactor"
        ),
    ],
)
def test_trying_memory_changes_no_bit_and_traces_nothing_anew(
    optimizer, accumulate_steps
):
    """FAULTS 53: the largest batches run through the same traced function."""
    step = _step(
        ema_decay=0.9,
        dtype="float16",
        accumulate_steps=accumulate_steps,
        optimizer=optimizer,
        weight_decay=0.0 if optimizer == "adam" else 0.01,
    )
    parts = [_batch(3, 4, 5)] * accumulate_steps
    named = naming.variables(step)
    for number in (1, 2):  # before the first step, and later
        before = {name: variable.numpy().tobytes() for name, variable in named.items()}
        step.try_memory([_batch(9, 7, 8), _batch(2, 20, 3)])
        assert {name: v.numpy().tobytes() for name, v in named.items()} == before
        step(parts, 0.01)
        assert int(step.step.numpy()) == number
    assert step.num_traces == 1


@pytest.mark.long
def test_compiled_by_xla_a_step_is_the_same_and_traced_once():
    """Promise P1, for a GPU: shapes are compiled before the first step."""
    weights = []
    for xla in (False, True):
        # Adam would divide what is nothing but rounding by itself.
        step = _step(xla=xla, accumulate_steps=2, optimizer="sgd")
        batches = [_batch(4, 5, 6), _batch(2, 3, 4)]
        before = {name: v.numpy() for name, v in naming.variables(step).items()}
        tried: list[int] = []
        step.try_memory(batches, on_batch=lambda tried=tried: tried.append(1))
        assert len(tried) == 2
        for name, variable in naming.variables(step).items():
            np.testing.assert_array_equal(variable, before[name])
        step(batches, 0.01)
        assert step.num_traces == 1
        weights.append(naming.variables(step.model))
    for name, plain in weights[0].items():
        np.testing.assert_allclose(weights[1][name], plain, rtol=1e-3, atol=1e-5)


def test_a_frozen_weight_stays_and_has_no_moments():
    frozen = "encoder/0/attention/query/kernel"
    step = _step(frozen=[frozen], ema_decay=0.9, weight_decay=0.1, optimizer="adamw")
    named = naming.variables(step)
    before = {name: variable.numpy() for name, variable in named.items()}
    step([_batch(4, 5, 6)], 0.01)
    assert step.num_weights == sum(
        np.size(value)
        for name, value in before.items()
        if name.startswith("model/") and name != f"model/{frozen}"
    )
    np.testing.assert_array_equal(named[f"model/{frozen}"], before[f"model/{frozen}"])
    assert sum(frozen in name for name in named) == 1
    other = "model/encoder/0/attention/key/kernel"
    assert (named[other].numpy() != before[other]).any()


def test_steps_skipped_in_a_row_are_counted():
    step = _step()
    good = step.model.tgt_embedding.vectors.numpy()
    for is_bad in (True, True, False, True):
        value = np.full_like(good, np.nan) if is_bad else good
        step.model.tgt_embedding.vectors.assign(value)
        step([_batch(3, 4, 5)], 0.0)
    assert int(step.skipped_in_row.numpy()) == 1
    assert int(step.most_skipped_in_row.numpy()) == 2


def test_two_runs_with_one_seed_are_equal_bit_for_bit():
    def run(seed):
        step = _step(seed=seed)
        for number in range(4):
            step([_batch(3, 4 + number, 5, seed=number)], 0.01)
        return {
            name: variable.numpy().tobytes()
            for name, variable in naming.variables(step).items()
        }

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_step_that_is_not_finite_is_skipped_and_counted():
    """FAULTS 37: no weight and no moment moves."""
    step = _step()
    step([_batch(3, 4, 5)], 0.01)
    named = naming.variables(step)
    kept = [name for name in named if name.startswith(("model/", "optimizer/"))]
    before = {name: named[name].numpy().tobytes() for name in kept}
    good = step.model.tgt_embedding.vectors.numpy()
    step.model.tgt_embedding.vectors.assign(np.full_like(good, np.nan))
    step([_batch(3, 4, 5)], 0.01)
    step.model.tgt_embedding.vectors.assign(good)
    assert {name: named[name].numpy().tobytes() for name in kept} == before
    assert int(step.skipped_steps.numpy()) == 1
    totals = step.totals.take()
    assert (totals["steps"], totals["skipped"]) == (1.0, 1.0)
    assert np.isfinite(list(totals.values())).all()


def test_totals_are_those_of_the_steps_since_they_were_taken():
    step = _step()
    for number in range(3):
        step([_batch(2, 3, 4, seed=number)], 0.01)
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
        id(variable) for variable in step.variables if variable is not step._live
    }


def test_a_model_overfits_a_handful_of_pairs():
    """Every batch a step sees must lower the loss in the end."""
    step = train_step.TrainStep(
        _model(dropout_rate=0.0),
        optimizer_config.OptimizerConfig(),
        label_smoothing=0.0,
        seed=1,
    )
    batch = _batch(4, 5, 6)
    for _ in range(150):
        step([batch], 0.01)
    metrics = evaluation_step.EvaluationStep(step.model)([batch])
    assert metrics["loss"] < 0.1
    assert metrics["token_accuracy"] == 1.0


def test_a_weight_the_loss_does_not_depend_on_is_named():
    model = _model()
    model.forgotten = tf.Variable(1.0)
    step = train_step.TrainStep(
        model, optimizer_config.OptimizerConfig(), label_smoothing=0.0, seed=1
    )
    with pytest.raises(ValueError, match="does not depend on: forgotten"):
        step([_batch(2, 3, 4)], 0.1)
