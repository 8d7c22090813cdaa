import math
import sys

import pytest

from pipeline import vocabulary
from preprocessing import subword_config, subwords
from tests import small_models
from trainers import evaluation, score_tables


def _examples(folder, references, **options):
    settings = subword_config.SubwordConfig(vocab_size=60, **options)
    path = folder / "a.model"
    path.write_bytes(subwords.learn(["a red tree"] * 9, settings, "src", 1000))
    words = vocabulary.Vocabulary(path)
    both = vocabulary.Vocabularies(src=words, tgt=words, shared=True, entries=())
    return evaluation.of_texts("files", ["x"], references, both, max_tokens=9)


@pytest.mark.parametrize(("options", "exact"), [({"lowercase": True}, 1.0), ({}, 0.0)])
def test_references_have_a_case_only_where_the_model_can_say_it(
    tmp_path, options, exact
):
    examples = _examples(tmp_path, [["A Red Tree"]], **options)
    found = evaluation.of_hypotheses(["a red tree"], examples, tokenize="13a", draws=0)
    assert found["exact_match"] == exact
    assert ("(right)" in score_tables.samples(examples, ["a red tree"], 1)) == bool(
        exact
    )


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_a_perplexity_that_no_float_is_as_large_as_is_none(data_dir, scale):
    both = small_models.vocabularies(data_dir)
    model = small_models.decisive_transformer(both)
    vectors = model.tgt_embedding.vectors
    vectors.assign(vectors * scale)
    examples = evaluation.of_texts("files", ["ba"], [["du"]], both, max_tokens=9)
    found = evaluation.losses(model, examples)
    too_large = found["loss"] > math.log(sys.float_info.max)
    assert too_large == (scale > 1)
    if too_large:
        assert found["perplexity"] is None
    else:
        assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
