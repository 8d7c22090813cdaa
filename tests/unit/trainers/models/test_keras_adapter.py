import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching, exits, manifest, vocabulary
from tests import decoding_requests, keras_example
from trainers import checkpoints, naming, noise, optimizer_config, train_step
from trainers.decoding import beam, greedy
from trainers.models import keras_adapter

SIZE = 30


def _model(seed=1) -> keras_adapter.KerasSeq2Seq:
    keras.utils.set_random_seed(seed)
    return keras_adapter.KerasSeq2Seq(keras_example.make(SIZE, SIZE))


def _batch(rows, length, seed=0):
    draw = np.random.default_rng(seed)
    src, tgt = draw.integers(4, SIZE, (2, rows, length)).astype(np.int32)
    into = np.concatenate([np.ones((rows, 1), np.int32), tgt[:, :-1]], axis=1)
    return batching.Batch(*map(tf.constant, (src, into, tgt)))


def _step(seed=1):
    return train_step.TrainStep(
        _model(seed), optimizer_config.OptimizerConfig(), label_smoothing=0.1, seed=1
    )


def test_every_variable_has_a_name_lists_and_dropout_seeds_included():
    named = naming.variables(_model())
    assert any("blocks/1/kernel" in name for name in named)
    assert sum("seed_generator_state" in name for name in named) == 2
    assert len(named) == len(_model()._layer.variables)


def test_names_do_not_depend_on_what_was_built_before():
    first = list(naming.variables(_model()))
    keras.layers.Dense(3).build([None, 3])
    assert list(naming.variables(_model())) == first


def test_a_variable_without_a_name_is_an_error_and_not_a_loss():
    class Hiding(keras.layers.Layer):
        def build(self, shape):
            self.inner = keras.layers.Dense(2)
            self.inner.build(shape)
            super().build(shape)

        @property
        def variables(self):
            hidden = keras.Variable(1.0, name="hidden")
            return [*super().variables, hidden]

    layer = Hiding()
    layer.build([None, 2])
    with pytest.raises(ValueError, match="no attribute leads to.*hidden"):
        keras_adapter.KerasModule(layer)


def test_a_layer_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match="not built"):
        keras_adapter.KerasModule(keras.layers.Dense(2))


def test_it_learns_in_one_trace_whatever_the_shapes():
    step = _step()
    losses = []
    for number in range(60):
        step([_batch(3, 4 + number % 5)], 0.01)
        totals = step.totals.take()
        losses.append(totals["loss_sum"] / totals["num_tokens"])
    assert step.num_traces == 1
    assert losses[-1] < losses[0]


def test_a_restored_run_goes_on_exactly_with_dropout_on(tmp_path):
    """Promise P2, for what Keras keeps the state of."""

    def steps(step, numbers):
        for number in numbers:
            step([_batch(3, 5, seed=number)], 0.01)
        return {name: v.numpy().tobytes() for name, v in naming.variables(step).items()}

    whole = steps(_step(), range(6))
    first = _step()
    steps(first, range(3))
    checkpoints.save(tmp_path, 3, naming.variables(first), {})
    _, tensors, _ = checkpoints.read_newest(tmp_path)
    resumed = _step(seed=99)
    checkpoints.restore(tensors, naming.variables(resumed), "it")
    assert steps(resumed, range(3, 6)) == whole


def test_it_is_decoded_over_its_prefix():
    asked = decoding_requests.of([[5, 6, 2], [7, 2, 0]], limit=5)
    model = _model()
    for decoder in (
        greedy.GreedyDecoder(model),
        beam.BeamDecoder(model, beam_size=3, length_penalty=1.0),
    ):
        found = decoder(asked)
        assert found.ids.shape[:2] == (2, 1)
        assert decoder.num_traces == 1


def test_a_function_is_found_by_its_reference(data_dir):
    facts = manifest.read(data_dir)
    both = vocabulary.load(data_dir, (facts.src_vocabulary, facts.tgt_vocabulary))
    model = keras_adapter.load("tests.keras_example:make", both, 1)
    assert isinstance(model, keras_adapter.KerasSeq2Seq)
    for reference in ("tests.keras_example", "tests.none:make", "tests:none", "gc:get"):
        with pytest.raises(exits.Refusal, match=f"--keras_model={reference}"):
            keras_adapter.load(reference, both, 1)
    for reference in ("json:dumps", "os:getpid"):  # not of two sizes
        with pytest.raises(exits.Refusal, match=f"--keras_model={reference}"):
            keras_adapter.load(reference, both, 1)


class Plain(keras.Model):
    """Built by its first call alone."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = keras.layers.Embedding(SIZE, 8)
        self.output_layer = keras.layers.Dense(SIZE)
        self.forgotten = keras.layers.Dense(4)

    def call(self, inputs):
        _, tgt_in_ids = inputs
        return self.output_layer(self.embedding(tgt_in_ids))


def make_nothing(src_vocab_size, tgt_vocab_size):
    Plain()


def make_a_tensor(src_vocab_size, tgt_vocab_size):
    return tf.zeros([2])


def make_unbuilt(src_vocab_size, tgt_vocab_size):
    return Plain()


def make_with_a_layer_of_no_use(src_vocab_size, tgt_vocab_size):
    model = Plain()
    model.forgotten.build([None, 8])
    model([np.ones([1, 2], np.int32)] * 2)
    return model


def _loaded(data_dir, function):
    facts = manifest.read(data_dir)
    both = vocabulary.load(data_dir, facts.pair_vocabularies())
    return keras_adapter.load(f"{__name__}:{function.__name__}", both, 1)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (make_nothing, "make_nothing: returns nothing; it must return a keras.Model"),
        (make_a_tensor, "make_a_tensor: returns a EagerTensor; it must return"),
        (make_unbuilt, "make_unbuilt: .* is not built; call it once"),
    ],
)
def test_what_is_no_model_to_train_is_refused_with_its_flag(data_dir, function, told):
    with pytest.raises(exits.Refusal, match=f"--keras_model={__name__}:{told}") as no:
        _loaded(data_dir, function)
    assert no.value.code == exits.USAGE


def test_a_layer_that_leads_nowhere_is_refused_with_its_flag(data_dir):
    model = _loaded(data_dir, make_with_a_layer_of_no_use)
    reference = f"{__name__}:make_with_a_layer_of_no_use"
    told = f"--keras_model={reference}: .* depend on: forgotten/kernel, forgotten/bias;"
    with pytest.raises(exits.Refusal, match=told) as no:
        _sgd(model)([_batch(3, 4)], 0.1)
    assert no.value.code == exits.USAGE


def _of_embedding(change=lambda layer: None, **options) -> keras_adapter.KerasSeq2Seq:
    """A model whose one embedding is in a model inside it, and is used outside too."""
    src = keras.Input([None], dtype="int32")
    tgt_in = keras.Input([None], dtype="int32")
    embedding = keras.layers.Embedding(SIZE, 8, **options)
    inner = keras.Model(src, keras.layers.Dense(8)(embedding(src)))
    memory = keras.layers.GlobalAveragePooling1D(keepdims=True)(inner(src))
    logits = keras.layers.Dense(SIZE)(embedding(tgt_in) + memory)
    change(embedding)
    return keras_adapter.KerasSeq2Seq(keras.Model([src, tgt_in], logits))


def _sgd(model) -> train_step.TrainStep:
    sgd = optimizer_config.OptimizerConfig(optimizer="sgd", clip_norm=0.0)
    return train_step.TrainStep(model, sgd, label_smoothing=0.0, seed=1)


def test_a_layer_of_two_models_has_one_name_and_one_update():
    model = _of_embedding()
    step = _sgd(model)
    assert step.num_weights == model._layer.count_params()
    batch, embedding = _batch(3, 4), model._layer.trainable_variables[0]
    before = embedding.numpy()
    with tf.GradientTape() as tape:
        found = model.losses(batch, smoothing=tf.constant(0.0), draw=noise.NONE)
        loss = found.loss_sum / found.num_tokens
    gradient = tf.convert_to_tensor(tape.gradient(loss, embedding.value))
    step([batch], 0.1)
    wanted = before - 0.1 * gradient.numpy()
    np.testing.assert_allclose(embedding.numpy(), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda layer: None, {"trainable": False}),
        (lambda layer: setattr(layer, "trainable", False), {}),
    ],
)
def test_what_keras_does_not_train_is_not_trained(change, options):
    model = _of_embedding(change, **options)
    before = {name: v.numpy() for name, v in naming.variables(model).items()}
    assert "embeddings" not in " ".join(naming.trainable(model))
    _sgd(model)([_batch(3, 4)], 0.1)
    for name, variable in naming.variables(model).items():
        changed = not np.array_equal(variable.numpy(), before[name])
        assert changed == ("embeddings" not in name)


@pytest.mark.parametrize("parts", [1, 2])
def test_what_layers_add_to_the_loss_is_added_once(parts):
    strength = 0.5
    model = _of_embedding(
        embeddings_regularizer=keras.regularizers.L2(strength),
    )
    embedding = model._layer.trainable_variables[0]
    before = embedding.numpy()
    unused = vocabulary.UNK_ID  # nothing but the regulariser moves it
    batches = [_batch(3, 4, seed=number) for number in range(parts)]
    for batch in batches:
        for ids in batch:
            assert unused not in ids.numpy()
    sgd = optimizer_config.OptimizerConfig(
        optimizer="sgd", clip_norm=0.0, accumulate_steps=parts
    )
    step = train_step.TrainStep(model, sgd, label_smoothing=0.0, seed=1)
    step(batches, 0.1)
    wanted = before[unused] * (1 - 0.1 * 2 * strength)
    np.testing.assert_allclose(embedding.numpy()[unused], wanted, rtol=1e-5)
    plain = model.losses(batches[0], smoothing=tf.constant(0.0), draw=noise.NONE)
    assert float(plain.loss_sum) == pytest.approx(float(plain.nll_sum))


def test_trying_memory_does_not_move_the_seeds_of_dropout():
    """Promise P2: a resumed run tries memory once more than one never stopped."""
    step = _step()
    step([_batch(3, 4)], 0.01)
    named = naming.variables(step)
    before = {name: variable.numpy().tobytes() for name, variable in named.items()}
    step.try_memory([_batch(5, 6)])
    assert {name: v.numpy().tobytes() for name, v in named.items()} == before


def _with_statistics() -> keras_adapter.KerasSeq2Seq:
    """A model with moving means and seeds, whose loss is not finite for one id."""
    keras.utils.set_random_seed(1)
    src = keras.Input([None], dtype="int32")
    tgt_in = keras.Input([None], dtype="int32")
    embedding = keras.layers.Embedding(SIZE, 8)
    values = keras.layers.Dropout(0.5)(embedding(src) + embedding(tgt_in))
    values = keras.layers.BatchNormalization()(values)
    logits = keras.layers.Dense(SIZE)(values)
    vectors = embedding.embeddings.numpy()
    vectors[vocabulary.UNK_ID] = np.nan
    embedding.embeddings.assign(vectors)
    return keras_adapter.KerasSeq2Seq(keras.Model([src, tgt_in], logits))


@pytest.mark.parametrize("parts", [1, 2])
def test_a_skipped_step_leaves_what_keras_keeps_by_itself(parts):
    """FAULTS 37: means that are not finite would stay so for good."""
    step = train_step.TrainStep(
        _with_statistics(),
        optimizer_config.OptimizerConfig(accumulate_steps=parts),
        label_smoothing=0.1,
        seed=1,
    )
    good = [_batch(3, 4, seed=number) for number in range(parts)]
    bad = good[0]._replace(src_ids=tf.fill([3, 4], vocabulary.UNK_ID))
    named = naming.variables(step.model)
    untrained = named.keys() - naming.trainable(step.model).keys()
    assert len(untrained) == 3  # mean, variance, seed
    step.try_memory([_batch(5, 6)])
    step(good, 0.01)
    before = {name: variable.numpy().tobytes() for name, variable in named.items()}
    step([bad, *good[1:]], 0.01)
    assert int(step.skipped_steps.numpy()) == 1
    assert {name: v.numpy().tobytes() for name, v in named.items()} == before
    step(good, 0.01)
    for name in untrained:
        assert named[name].numpy().tobytes() != before[name]
        assert np.isfinite(named[name].numpy()).all()
