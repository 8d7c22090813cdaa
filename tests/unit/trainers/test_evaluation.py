import math
import sys

import pytest
import tensorflow as tf

from pipeline import manifest, vocabulary
from preprocessing import subword_config, subwords
from tests import small_models
from trainers import checkpoints, evaluation, score_tables


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


@pytest.fixture
def own(tmp_path):
    """The data directory of a run, as its flags name it, and its working directory."""
    state = {"facts": {"data": "hash of it"}}
    checkpoints.save(tmp_path / "work/checkpoints", 1, {"a": tf.Variable(0.0)}, state)
    return str(tmp_path / "data"), tmp_path / "work"


@pytest.mark.parametrize(
    ("asked", "data", "expected"),
    [
        (None, "built again", "test"),
        ("data", "built again", "test"),
        ("x/../data", "built again", "test"),
        ("moved", "hash of it", "test"),
        ("moved", "another hash", "test_moved"),
        ("gs://bucket/more", "another hash", "test_more"),
    ],
)
def test_scores_on_other_data_do_not_take_the_place_of_the_own(
    own, tmp_path, asked, data, expected
):
    if asked and "://" not in asked:
        asked = str(tmp_path / asked)
    of_run, workdir = own
    named = evaluation.name_of("test", data, asked=asked, own=of_run, workdir=workdir)
    assert named == expected


def test_a_result_names_its_data_wherever_it_is(data_dir, tmp_path):
    facts = manifest.read(data_dir)
    there = evaluation.measured_on(data_dir, facts)
    assert there == {"data_dir": str(data_dir), "data": manifest.identity(facts)}
    for name, text in (("a", "ba\n"), ("b", "ba\n"), ("c", "du\n")):
        (tmp_path / name).write_text(text)
    one, same, other = (
        evaluation.measured_on_files(str(tmp_path / name), [str(tmp_path / "a")])
        for name in "abc"
    )
    assert one["data"] == same["data"] != other["data"]
    assert (one["src_file"], one["ref_file"]) == (
        str(tmp_path / "a"),
        [str(tmp_path / "a")],
    )
