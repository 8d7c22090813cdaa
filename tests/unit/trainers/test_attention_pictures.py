import json

import numpy as np
import pytest
from matplotlib import image

from tests import small_models
from trainers import (
    attention_maps,
    attention_pictures,
    decoding_config,
    translation,
)

TEXTS = ["ba du ki", "", "mo"]


@pytest.fixture(scope="module")
def said(data_dir):
    """A reader of a model's attention, and what the model says to TEXTS."""
    both = small_models.vocabularies(data_dir)
    model = small_models.decisive_transformer(both)
    hypotheses = translation.Translator(model, both).translate(TEXTS)
    return attention_maps.Reader(model, both), hypotheses


def _write(said, directory, **choice):
    reader, hypotheses = said
    asked = decoding_config.AttentionConfig(attention_dir=str(directory), **choice)
    attention_pictures.Pictures(asked, reader).write(7, TEXTS, hypotheses)


def test_each_text_has_a_picture_and_its_weights_by_line(said, tmp_path):
    _write(said, tmp_path / "new/deep")
    names = sorted(path.name for path in (tmp_path / "new/deep").iterdir())
    assert names == ["000007.json", "000007.png", "000009.json", "000009.png"]
    account = json.loads((tmp_path / "new/deep/000009.json").read_text())
    assert account["line"] == 9
    assert account["text"] == "mo"
    assert account["hypothesis"] == said[1][2].text
    weights = np.array(account["weights"])
    sizes = (len(account["tgt_pieces"]), len(account["src_pieces"]))
    assert weights.shape == (2, 2, *sizes)
    assert weights.sum(-1) == pytest.approx(1, abs=1e-3)


def test_another_head_is_another_picture_of_the_same_weights(said, tmp_path):
    for head in (0, 1):
        _write(said, tmp_path / str(head), attention_layer=1, attention_head=head)
    first, second = (tmp_path / name / "000007.png" for name in "01")
    assert first.read_bytes() != second.read_bytes()
    assert (
        first.with_suffix(".json").read_text()
        == second.with_suffix(".json").read_text()
    )


def test_where_more_is_taken_from_it_is_darker(tmp_path):
    path = tmp_path / "a.png"
    attention_pictures.draw(["a", "b"], ["c"], np.array([[0.9, 0.1]]), path)
    dots = image.imread(path)[:, :, :3]
    # The largest patch of one colour that is not background is each cell's.
    colours, counts = np.unique(dots.reshape(-1, 3), axis=0, return_counts=True)
    left, right = colours[np.argsort(-counts)][1:3]
    columns = [np.nonzero((dots == one).all(-1))[1].mean() for one in (left, right)]
    dark, light = sorted((left.sum(), right.sum()))
    assert dark < 0.5 * light
    by_column = dict(zip(columns, (left.sum(), right.sum()), strict=True))
    assert by_column[min(columns)] == dark


@pytest.mark.parametrize("piece", ["$", "$x_{$", "\n", "\x00", "語", "😀", "<b>"])
def test_any_subword_can_be_drawn(piece, tmp_path):
    path = tmp_path / "a.png"
    attention_pictures.draw([piece, "▁b"], [piece], np.array([[0.5, 0.5]]), path)
    assert image.imread(path).shape[2] == 4


def test_a_long_sentence_is_drawn_within_bounds(tmp_path):
    pieces = ["a"] * 400
    path = tmp_path / "a.png"
    attention_pictures.draw(pieces, ["b"], np.full([1, 400], 1 / 400), path)
    assert image.imread(path).shape[1] <= 120 * 60
