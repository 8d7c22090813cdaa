import random

import numpy as np
import pytest
import tensorflow as tf

from tests import small_models
from trainers import decoding_config, translation
from trainers.exporting import saved_model
from trainers.models import build

STRANGE = [
    "",
    "   ",
    "ba du",
    "\x00",
    "a\x0bb\nc",
    "\u2028",
    "😀 жя",
    "x\ufffdy",
    "\u202eabc",
    "</s> ba <pad>",
    "ba " * 20,
]


@pytest.fixture(scope="module")
def both(data_dir):
    return small_models.vocabularies(data_dir)


def _server(data_dir, both, asked=translation.GREEDY):
    model = small_models.decisive_transformer(both)
    translator = translation.Translator(model, both, asked)
    src, tgt = ((data_dir / entry.filename).read_bytes() for entry in both.entries)
    server = saved_model.Server(
        model,
        translator.best,
        (src, tgt),
        max_source_tokens=asked.max_source_tokens,
        beam_size=asked.beam_size,
    )
    return server, translator


def _answer(server, texts):
    """Returns texts and scores for str or bytes."""
    answer = server.serve(tf.constant(texts, tf.string))
    return [text.decode() for text in answer["text"].numpy()], answer["score"].numpy()


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"beam_size": 3},
        {"max_length_ratio": 0.5, "max_length_offset": 3, "no_repeat_ngram": 2},
        {"min_length": 5, "min_length_ratio": 1.3},
    ],
)
def test_it_says_what_the_translator_says(data_dir, both, asked):
    server, translator = _server(
        data_dir, both, decoding_config.DecodingConfig(**asked)
    )
    wanted = translator.translate(STRANGE)
    texts, scores = _answer(server, STRANGE)
    assert texts == [hypothesis.text for hypothesis in wanted]
    assert len(set(texts)) > 5
    assert scores == pytest.approx([hypothesis.log_prob for hypothesis in wanted])


def test_any_number_of_texts_of_any_length_takes_one_trace(data_dir, both, monkeypatch):
    monkeypatch.setattr(translation, "PREFIXES_PER_BATCH", 3)
    server, translator = _server(data_dir, both)
    draw = random.Random(1)
    for count in (0, 1, 2, 10):
        texts = [" ".join(["ba du"] * draw.randint(0, 9)) for _ in range(count)]
        wanted = [hypothesis.text for hypothesis in translator.translate(texts)]
        assert _answer(server, texts)[0] == wanted
    assert server.serve.experimental_get_tracing_count() == 1


def test_what_is_not_utf_8_is_read_as_translate_reads_it(data_dir, both):
    """FAULTS 58."""
    server, translator = _server(data_dir, both)
    raw = [b"\xff\xfe", b"b\xc3a", b"\xe2\x82x", b"\xed\xa0\x80", b"\xf0\x9f\x98"]
    wanted = translator.translate([text.decode(errors="replace") for text in raw])
    texts, scores = _answer(server, raw)
    assert texts == [hypothesis.text for hypothesis in wanted]
    assert scores == pytest.approx([hypothesis.log_prob for hypothesis in wanted])


def test_a_long_text_is_cut(data_dir, both):
    """FAULTS 57."""
    server, _ = _server(
        data_dir, both, decoding_config.DecodingConfig(max_source_tokens=3)
    )
    ids = both.src.encode(["ba du ki mo ba"])[0]
    assert len(ids) > 3
    begin = both.src.decode([ids[:3]])[0]
    assert both.src.encode([begin])[0] == ids[:3]
    texts, _ = _answer(server, ["ba du ki mo ba", begin])
    assert texts[0] == texts[1] != ""


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("rnn", {}), ("rnn", {"cell": "gru"}), ("repeat_vector", {})],
)
def test_other_models_are_saved_and_loaded_too(data_dir, both, tmp_path, kind, changes):
    model = build.sized(
        small_models.config(kind, **changes),
        src_vocab_size=both.src.size,
        tgt_vocab_size=both.tgt.size,
        shared=both.shared,
        rng=np.random.default_rng(5),
        dtype="float32",
    )
    translator = translation.Translator(model, both)
    src, tgt = ((data_dir / entry.filename).read_bytes() for entry in both.entries)
    server = saved_model.Server(
        model, translator.best, (src, tgt), max_source_tokens=1024, beam_size=1
    )
    saved_model.write(server, tmp_path)
    wanted = translator.translate(STRANGE)
    texts, scores = _answer(tf.saved_model.load(str(tmp_path)), STRANGE)
    assert texts == [hypothesis.text for hypothesis in wanted]
    assert scores == pytest.approx([hypothesis.log_prob for hypothesis in wanted])
