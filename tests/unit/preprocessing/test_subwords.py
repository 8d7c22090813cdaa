import unicodedata

import pytest
import sentencepiece

from pipeline import exits
from preprocessing import config, subwords

TEXT = [
    "Ein Mann fährt die Straße entlang.",
    "Ça coûte 3 € à l'été",
    "TWO Dogs run.",
] * 20


def _processor(**options) -> sentencepiece.SentencePieceProcessor:
    settings = config.SubwordConfig(**({"vocab_size": 120} | options))
    return sentencepiece.SentencePieceProcessor(
        model_proto=subwords.learn(TEXT, settings, "src", 1000)
    )


def test_the_same_text_gives_the_same_bytes():
    settings = config.SubwordConfig(vocab_size=120, lowercase=True)
    first = subwords.learn(TEXT, settings, "src", 1000)
    assert subwords.learn(iter(TEXT), settings, "src", 1000) == first


@pytest.mark.parametrize("kind", config.MODEL_TYPES)
def test_every_kind_of_model_has_the_special_ids(kind):
    processor = _processor(model_type=kind)
    ids = (processor.pad_id(), processor.bos_id(), processor.eos_id())
    assert (*ids, processor.unk_id()) == (0, 1, 2, 3)


def test_a_small_corpus_gives_a_smaller_vocabulary_than_asked():
    assert _processor(vocab_size=8000).GetPieceSize() < 300


@pytest.mark.parametrize(
    ("normalize", "text", "expected"),
    [
        ("nmt_nfkc", "STRASSE Straße ÄÖÜ", "strasse straße äöü"),
        ("nmt_nfkc", "e\u0301 ﬁ ① \u00a0x\u200by", "é fi 1 x y"),
        ("nfkc", "E\u0301 ﬁ", "é fi"),
        ("none", "ÉÀ ﬁ", "éà ﬁ"),
        ("none", "e\u0301", "e\u0301"),
    ],
)
def test_lowercasing_keeps_sharp_s_and_follows_the_normalisation(
    normalize, text, expected
):
    processor = _processor(lowercase=True, normalize=normalize)
    assert processor.Normalize(text).replace("▁", " ").strip() == expected


def test_the_rules_are_those_of_nmt_nfkc_but_for_case():
    named, ruled = _processor(), _processor(lowercase=True)
    deprecated = {0x340, 0x341, 0x343, 0x344}  # tone marks that Unicode withdrew
    codes = {*range(0x20, 0x600), *range(0x1E00, 0x2100), *range(0xFB00, 0xFE00)}
    for code in sorted(codes - deprecated):
        for text in (f"a{chr(code)}b", unicodedata.normalize("NFD", f"a{chr(code)}b")):
            assert ruled.Normalize(text) == named.Normalize(text).lower(), hex(code)


def test_what_goes_wrong_while_reading_is_not_blamed_on_sentencepiece():
    def texts():
        yield "some text"
        raise exits.Refusal(exits.PREEMPTED, "stopped")

    with pytest.raises(exits.Refusal, match="^stopped$"):
        subwords.learn(texts(), config.SubwordConfig(), "src", 1000)


def test_what_sentencepiece_cannot_learn_is_refused_with_the_flags_named():
    settings = config.SubwordConfig(vocab_size=8, model_type="bpe")
    with pytest.raises(exits.Refusal, match="--src_vocab_size=8") as error:
        subwords.learn(TEXT, settings, "src", 1000)
    assert error.value.code == exits.BAD_DATA
