import pytest

from pipeline import config, exits


def test_a_budget_that_training_finds_out_is_none_for_others():
    asked = config.BatchConfig(tokens_per_batch="auto", max_length=5000)
    with pytest.raises(exits.Refusal, match="--tokens_per_batch=auto") as error:
        asked.tokens  # noqa: B018 - it refuses
    assert error.value.code == exits.USAGE


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tokens_per_batch": 0}, "--tokens_per_batch must be positive"),
        ({"max_length": 5000}, "--max_length=5000 does not fit"),
        ({"max_length": 1}, "--max_length must be at least 2"),
        ({"batch_rows": 3, "row_multiple": 8}, "--batch_rows=3 is less than 8"),
        ({"mix": ("a:x",)}, "'x' is not a weight"),
    ],
)
def test_batches_that_cannot_be_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        config.BatchConfig(**given)
