import json

import numpy as np
import pytest

from tests import small_models
from trainers import decoding_config, translation
from trainers.serving import answers


@pytest.fixture(scope="module")
def both(data_dir):
    return small_models.vocabularies(data_dir)


class _Plain:
    """A model that is decoded and shows no attention."""

    def __init__(self, model):
        self.start, self.next_logits = model.start, model.next_logits


def test_an_answer_has_the_hypothesis_and_its_attention(both):
    model = small_models.decisive_transformer(both)
    translator = translation.Translator(model, both)
    (wanted,) = translator.translate(["ba du"])
    answer = json.loads(
        json.dumps(answers.Translations(model, both, translator)("ba\ndu"))
    )
    (found,) = answer["hypotheses"]
    assert found["text"] == wanted.text
    assert found["log_prob"] == pytest.approx(wanted.log_prob)
    assert found["finished"] == wanted.finished
    assert found["attention"]["src_pieces"] == ["▁ba", "▁du", "</s>"]
    rows, columns = (
        len(found["attention"][name]) for name in ("tgt_pieces", "src_pieces")
    )
    for layer in found["attention"]["weights"]:
        for head in layer:
            assert [len(row) for row in head] == [columns] * rows


def test_nothing_has_no_attention(both):
    model = small_models.decisive_transformer(both)
    translator = translation.Translator(model, both)
    (found,) = answers.Translations(model, both, translator)("")["hypotheses"]
    assert found == {"text": "", "log_prob": 0.0, "finished": True, "attention": None}


def test_a_model_without_attention_answers_all_the_same(both):
    model = _Plain(small_models.decisive_transformer(both))
    translator = translation.Translator(model, both)
    (found,) = answers.Translations(model, both, translator)("ba")["hypotheses"]
    assert found["attention"] is None
    assert found["log_prob"] < 0


def test_the_best_hypotheses_have_attention_until_it_is_too_much(both, monkeypatch):
    model = small_models.decisive_transformer(both)
    asked = decoding_config.DecodingConfig(beam_size=3)
    translator = translation.Translator(model, both, asked, n_best=3)
    answer = answers.Translations(model, both, translator)
    sizes = [
        np.size(one["attention"]["weights"]) for one in answer("ba du")["hypotheses"]
    ]
    assert len(sizes) == 3
    monkeypatch.setattr(answers, "_MAX_WEIGHTS", sizes[0] + sizes[1] - 1)
    found = [one["attention"] is not None for one in answer("ba du")["hypotheses"]]
    assert found == [True, False, False]
