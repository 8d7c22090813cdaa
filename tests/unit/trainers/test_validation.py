import numpy as np
import pytest

from flags import binding
from pipeline import manifest, vocabulary
from tests import small_runs
from trainers import config, validation
from trainers.models import build


def _asked(data_dir, *more: str) -> config.Seq2SeqConfig:
    flags = small_runs.flags(data_dir, data_dir / "none", "--eval_examples=4", *more)
    return binding.parse(flags, config.Seq2SeqConfig)


def test_the_largest_batches_are_tried_with_the_step_that_validates(data_dir):
    """FAULTS 53."""
    asked = _asked(data_dir)
    entries = manifest.read(data_dir).pair_vocabularies()
    vocabularies = vocabulary.load(data_dir, entries)
    model = build.make(asked, vocabularies)
    validate = validation.make(asked, vocabularies, model, lambda: False)
    assert validate is not None
    validate.try_memory()
    assert validate.num_traces == 1
    assert np.isfinite(validate().metrics["loss"])
    assert validate.num_traces == 1


@pytest.mark.parametrize("budget", [1, 2000])
def test_what_attention_may_take_holds_for_validation_except_for_one_pair(
    data_dir, budget
):
    asked = _asked(data_dir, f"--attention_budget={budget}")
    source = validation.open_valid(asked, manifest.read(data_dir))
    assert source is not None
    buckets = source.plan.buckets
    longer = np.maximum(buckets.src, buckets.tgt)
    most = max(budget, int(longer.max()) ** 2)
    assert ((buckets.rows * longer**2 <= most) | (buckets.rows == 1)).all()
    free = validation.open_valid(_asked(data_dir), manifest.read(data_dir))
    assert free is not None
    assert buckets.rows.sum() < free.plan.buckets.rows.sum()


def test_a_signal_between_batches_ends_a_validation():
    coming = iter([False, False, True])
    read = validation.unless_stopping(iter("abc"), lambda: next(coming))
    assert [next(read), next(read)] == ["a", "b"]
    with pytest.raises(validation.StoppedError):
        next(read)
