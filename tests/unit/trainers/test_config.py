import pytest

from pipeline import config as pipeline_config
from pipeline import exits
from trainers import config, decoding_config, optimizer_config, strategy_config
from trainers.models import config as model_config
from trainers.models import seq2vec_config


@pytest.mark.parametrize(
    ("which", "count"), [("best", 0), ("last", 1), ("average:1", 1), ("average:12", 12)]
)
def test_checkpoints_are_named_by_words(which, count):
    assert decoding_config.count_of(which) == count


def test_a_beam_is_refused_where_there_is_nothing_to_search():
    model = model_config.ModelConfig(model="repeat_vector")
    beam = decoding_config.DecodingConfig(beam_size=4)
    with pytest.raises(exits.Refusal, match="--beam_size=4.*repeat_vector") as refused:
        decoding_config.check_decodable(model, beam)
    assert refused.value.code == exits.USAGE
    decoding_config.check_decodable(model, decoding_config.DecodingConfig(beam_size=1))
    decoding_config.check_decodable(model_config.ModelConfig(model="rnn"), beam)


_OF_RNN = ["--cell=gru", "--attention=luong", "--sampling_probability=0.5"]
_OF_TRANSFORMER = ["--d_ff=64", "--max_positions=99", "--tied_embeddings=none"]


@pytest.mark.parametrize(
    ("model", "idle"),
    [
        ("transformer", ["--max_positions=99", *_OF_RNN]),
        ("rnn", _OF_TRANSFORMER[:2]),
        ("repeat_vector", [*_OF_TRANSFORMER, *_OF_RNN[1:]]),
        ("keras", ["--num_layers=2", *_OF_TRANSFORMER, *_OF_RNN]),
    ],
)
def test_flags_that_a_model_does_not_read_are_named(model, idle):
    config = model_config.ModelConfig(
        model=model,
        keras_model="a:b" if model == "keras" else None,
        num_layers=2,
        transformer=model_config.TransformerConfig(
            d_ff=64, max_positions=99, tied_embeddings="none"
        ),
        rnn=model_config.RnnConfig(
            cell="gru", attention="luong", sampling_probability=0.5
        ),
    )
    assert config.without_effect() == idle


def test_a_flag_that_another_one_wakes_has_an_effect_beside_it():
    def idle(**rnn):
        rnn = model_config.RnnConfig(**rnn)
        return model_config.ModelConfig(model="rnn", rnn=rnn).without_effect()

    assert idle(luong_score="scaled") == ["--luong_score=scaled"]
    assert idle(luong_score="scaled", attention="luong") == []
    assert idle(sampling_warmup_steps=9) == ["--sampling_warmup_steps=9"]
    assert idle(sampling_warmup_steps=9, sampling_probability=0.1) == []
    learned = model_config.TransformerConfig(positions="learned", max_positions=99)
    assert model_config.ModelConfig(transformer=learned).without_effect() == []


@pytest.mark.parametrize(
    ("given", "idle"),
    [
        ({"beta1": 0.5, "epsilon": 1e-3}, []),
        ({"momentum": 0.3}, ["--momentum=0.3"]),
        ({"optimizer": "sgd", "momentum": 0.3, "beta2": 0.5}, ["--beta2=0.5"]),
        ({"optimizer": "lion", "beta1": 0.5, "epsilon": 1e-3}, ["--epsilon=0.001"]),
        ({"optimizer": "adafactor", "beta1": 0.5}, ["--beta1=0.5"]),
        ({"no_decay": ("bias", "x")}, ["--no_decay=bias,x"]),
        ({"optimizer": "adamw", "weight_decay": 0.1, "no_decay": ()}, []),
    ],
)
def test_flags_that_an_optimizer_does_not_read_are_named(given, idle):
    assert optimizer_config.OptimizerConfig(**given).without_effect() == idle


def test_a_temperature_of_a_mixture_wants_a_mixture():
    def idle(**given):
        return pipeline_config.BatchConfig(
            mix_temperature=5.0, **given
        ).without_effect()

    assert idle() == ["--mix_temperature=5.0"]
    assert idle(mix=("a:1", "b:2")) == []


@pytest.mark.parametrize(("steps", "lines"), [(10, 0), (9, 1), (8, 1)])
def test_a_warm_up_as_long_as_the_run_is_told_of(steps, lines):
    asked = config.Seq2SeqConfig(
        run=config.RunConfig(data_dir="d", workdir="w", num_steps=steps),
        schedule=optimizer_config.ScheduleConfig(warmup_steps=9),
        distribution=strategy_config.StrategyConfig(),
        start=config.StartConfig(),
        validation=config.ValidationConfig(),
        model=model_config.ModelConfig(),
        batch=pipeline_config.BatchConfig(),
        optimizer=optimizer_config.OptimizerConfig(),
    )
    assert len(config.doubts(asked)) == lines


def test_a_recurrent_encoder_of_texts_reads_nothing_of_the_transformer():
    transformer = model_config.TransformerConfig(d_ff=64, num_heads=2)
    idle = [
        seq2vec_config.EncoderConfig(
            model=model, transformer=transformer
        ).without_effect()
        for model in ("bigru", "transformer")
    ]
    assert idle == [["--d_ff=64", "--num_heads=2"], []]


@pytest.mark.parametrize("which", ["", "first", "average", "average:0", "average:x"])
def test_other_words_for_checkpoints_are_refused(which):
    with pytest.raises(ValueError, match="want best, last or average:K"):
        decoding_config.count_of(which)


@pytest.mark.parametrize(
    "given",
    [
        {"num_steps": 0},
        {"label_smoothing": 1.0},
        {"save_every_secs": 0.0},
        {"profile_steps": "30-20"},
        {"profile_steps": "x"},
        {"profile_steps": "20-30", "num_steps": 29},
        {"seed": -1},
    ],
)
def test_a_run_that_cannot_be_is_refused(given):
    with pytest.raises(ValueError, match=f"--{next(iter(given))}"):
        config.RunConfig(data_dir="d", workdir="w", **given)


@pytest.mark.parametrize("given", [{"learning_rate": 0.0}, {"warmup_steps": -1}])
def test_a_schedule_that_cannot_be_is_refused(given):
    with pytest.raises(ValueError, match=f"--{next(iter(given))}"):
        optimizer_config.ScheduleConfig(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"final_rate": 0.1},
        {"final_rate": 0.1, "schedule": "plateau"},
        {"plateau_factor": 0.9},
        {"plateau_patience": 3, "schedule": "cosine"},
    ],
)
def test_what_is_of_another_schedule_is_refused(given):
    told = f"--{next(iter(given))}=.* needs --schedule=.*; leave the flag out"
    with pytest.raises(ValueError, match=told):
        optimizer_config.ScheduleConfig(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"head_units": 8, "head": "embedding"},
        {"head_dropout_rate": 0.2, "head": "embedding"},
        {"class_weights": "balanced", "head": "embedding"},
        {"temperature": 0.1},
        {"encoders": "two"},
    ],
)
def test_what_is_of_another_head_is_refused(given):
    told = f"--{next(iter(given))}=.* needs --head=.*; leave the flag out"
    with pytest.raises(ValueError, match=told):
        seq2vec_config.HeadConfig(**given)


@pytest.mark.parametrize("head", ["classes", "embedding"])
@pytest.mark.parametrize("schedule", ["plateau", "linear", "constant"])
def test_every_default_goes_with_every_head_and_schedule(head, schedule):
    """A run's own flagfile has all of them, and repeats the run."""
    seq2vec_config.HeadConfig(head=head)
    optimizer_config.ScheduleConfig(schedule=schedule)


@pytest.mark.parametrize(
    "given",
    [
        {"eval_every_steps": -1},
        {"best_metric": "bleu", "eval_examples": 0},
        {"patience": 3, "eval_every_steps": 0},
    ],
)
def test_a_validation_that_cannot_be_is_refused(given):
    with pytest.raises(ValueError, match=f"--{next(iter(given))}"):
        config.ValidationConfig(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"beam_size": 0},
        {"length_penalty": float("nan")},
        {"top_p": 0.0, "sampling_temperature": 1.0},
        {"top_k": 3},
        {"top_p": 0.5},
        {"sampling_seed": 3},
        {"exact_search": True},
        {"length_penalty": 0.6},
        {"length_penalty": 0.6, "sampling_temperature": 1.0},
        {"sampling_seed": -1},
        {"max_length_ratio": 0.0, "max_length_offset": 0},
        {"beam_size": 2, "sampling_temperature": 1.0},
        {"no_repeat_ngram": -1},
        {"max_length_ratio": 1e9},
        {"max_length_offset": 3_000_000_000},
        {"min_length": -1},
    ],
)
def test_decoding_that_cannot_be_is_refused(given):
    with pytest.raises(ValueError, match=f"--{next(iter(given))}"):
        decoding_config.DecodingConfig(**given)


def test_lengths_are_relative_to_the_source_and_the_least_is_below_the_most():
    asked = decoding_config.DecodingConfig(
        min_length=3, min_length_ratio=1.5, max_length_ratio=1.2, max_length_offset=1
    )
    # Source tokens count EOS, so does the limit.
    assert [asked.limit(tokens) for tokens in (1, 5, 10)] == [2, 7, 13]
    assert [asked.minimum(tokens) for tokens in (1, 5, 10)] == [1, 6, 12]
    asked = decoding_config.DecodingConfig(min_length=3, min_length_ratio=0.5)
    assert [asked.minimum(tokens) for tokens in (2, 7, 21)] == [3, 3, 10]


def test_a_keras_model_has_a_policy_of_its_own():
    with pytest.raises(ValueError, match="--dtype=float16"):
        config.Seq2SeqConfig(
            run=config.RunConfig(data_dir="d", workdir="w", dtype="float16"),
            distribution=strategy_config.StrategyConfig(),
            start=config.StartConfig(),
            validation=config.ValidationConfig(),
            model=model_config.ModelConfig(model="keras", keras_model="a:b"),
            batch=pipeline_config.BatchConfig(),
            optimizer=optimizer_config.OptimizerConfig(),
            schedule=optimizer_config.ScheduleConfig(),
        )


def test_a_keras_model_draws_its_dropout_by_itself():
    with pytest.raises(ValueError, match=r"--r_drop=1.0 is not for --model=keras"):
        model_config.ModelConfig(model="keras", keras_model="a:b", r_drop=1.0)
