import pytest

from preprocessing import config


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no corpus"),
        ({"corpus": "numbers", "train": ("a",)}, "--corpus=numbers and --train excl"),
        ({"train_src": ("a",)}, "--train_tgt is missing"),
        ({"train": ("a",), "valid_tgt": ("a",)}, "--valid_src is missing"),
        ({"train": ("a",), "train_src": ("a",), "train_tgt": ("a",)}, "exclude each"),
        ({"train": ("a",), "valid_fraction": 1.0}, "--valid_fraction=1.0"),
        ({"train": ("a",), "valid_fraction": -0.1}, "--valid_fraction=-0.1"),
        ({"train": ("a",), "valid": ("b",), "valid_fraction": 0.1}, "is given already"),
        ({"corpus": "numbers", "test_fraction": 0.1}, "is given already"),
        ({"train": ("a",), "columns": ("1",)}, "--columns=1"),
        ({"train": ("a",), "columns": ("0", "1")}, "--columns=0,1"),
        ({"train": ("a",), "max_reject_fraction": 2.0}, "--max_reject_fraction"),
    ],
)
def test_a_corpus_that_is_not_clear_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        config.CorpusConfig(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vocab_size": 3}, "--vocab_size"),
        ({"vocab_size": 70_000}, "--vocab_size"),
        ({"character_coverage": 0.1}, "--character_coverage"),
        ({"shared_vocab": True, "src_vocab_size": 100}, "--src_vocab_size needs sep"),
        ({"spm_model": "a", "tgt_model_type": "bpe"}, "--tgt_model_type needs sep"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        config.SubwordConfig(**given)


@pytest.mark.parametrize(
    "given", [{"max_length": 1}, {"max_bytes": 70_000}, {"max_ratio": 0.5}]
)
def test_bounds_that_keep_nothing_are_refused(given):
    with pytest.raises(ValueError, match=f"--{next(iter(given))}"):
        config.CleaningConfig(**given)


def test_a_side_takes_the_common_setting_unless_it_has_its_own():
    settings = config.SubwordConfig(
        vocab_size=100, tgt_vocab_size=50, model_type="bpe", src_model_type="char"
    )
    assert (settings.size("src"), settings.size("tgt")) == (100, 50)
    assert (settings.type("src"), settings.type("tgt")) == ("char", "bpe")
    assert config.SubwordConfig().type("src") == "unigram"
