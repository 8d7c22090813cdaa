import functools
import unicodedata

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import exits
from preprocessing import subword_config, subwords

TEXT = [
    "Ein Mann fährt die Straße entlang.",
    "Ça coûte 3 € à l'été",
    "TWO Dogs run.",
] * 20


def _processor(**options) -> sentencepiece.SentencePieceProcessor:
    settings = subword_config.SubwordConfig(**({"vocab_size": 120} | options))
    return sentencepiece.SentencePieceProcessor(
        model_proto=subwords.learn(TEXT, settings, "src", 1000)
    )


def test_the_same_text_gives_the_same_bytes():
    settings = subword_config.SubwordConfig(vocab_size=120, lowercase=True)
    first = subwords.learn(TEXT, settings, "src", 1000)
    assert subwords.learn(iter(TEXT), settings, "src", 1000) == first


@pytest.mark.parametrize("kind", subword_config.MODEL_TYPES)
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
        subwords.learn(texts(), subword_config.SubwordConfig(), "src", 1000)


def test_what_sentencepiece_cannot_learn_is_refused_with_the_flags_named():
    settings = subword_config.SubwordConfig(vocab_size=8, model_type="bpe")
    with pytest.raises(exits.Refusal, match="--src_vocab_size=8") as error:
        subwords.learn(TEXT, settings, "src", 1000)
    assert error.value.code == exits.BAD_DATA


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"unescape_html": True}, "a &amp; b &#39;c&#x27; &hellip;", "a & b 'c' ..."),
        ({"unescape_html": True, "lowercase": True}, "&Eacute;T&Eacute;", "été"),
        ({"unescape_html": True, "plain_punctuation": True}, "&ldquo;a&rdquo;", '"a"'),
        ({"remove_zero_width": True}, "a\u200bb\u00adc\u2060d", "abcd"),
        (
            {"plain_punctuation": True},
            "«Ça» \u2013 l\u2019été…\u202f!",
            '"Ça" - l\'été... !',
        ),
        (
            {"plain_punctuation": True, "normalize": "none"},
            "“é” ﬁ",
            '"é" ﬁ',
        ),
        ({"normalize": "nmt_nfkc_cf"}, "STRASSE Straße ΣΑΣ", "strasse straße σασ"),
        (
            {"normalize": "nmt_nfkc_cf", "unescape_html": True},
            "STRA&szlig;E &Sigma;\u03c2",
            "straße σσ",
        ),
    ],
)
def test_named_options_are_rules_of_the_model(options, text, expected):
    processor = _processor(**options)
    assert processor.Normalize(text).replace("▁", " ").strip() == expected


def test_a_rule_file_of_the_user_decides_alone(tmp_path):
    path = tmp_path / "rules.tsv"
    path.write_text("0041\t0062\n")
    processor = _processor(normalize_rules=str(path))
    assert processor.Normalize("A ﬁ").replace("▁", " ").strip() == "b ﬁ"


@pytest.mark.parametrize(
    "rules", [b"Zz\t0062\n", b"", b"D800\t61\n", b"\t0041\n", b"\xff\t\x80\n"]
)
def test_a_rule_file_that_is_none_is_named(tmp_path, rules):
    path = tmp_path / "rules.tsv"
    path.write_bytes(rules)
    with pytest.raises(
        exits.Refusal, match="^--normalize_rules=.*rules.tsv: "
    ) as error:
        _processor(normalize_rules=str(path))
    assert error.value.code == exits.BAD_DATA


def test_user_symbols_are_one_piece_and_unknown_characters_bytes():
    processor = _processor(
        vocab_size=400, byte_fallback=True, user_defined_symbols=("<sep>",)
    )
    assert "<sep>" in processor.EncodeAsPieces("Dogs<sep>run")
    ids = processor.EncodeAsIds("Dogs 東京")
    assert processor.unk_id() not in ids
    assert processor.DecodeIds(ids) == "Dogs 東京"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_with_byte_fallback_decoding_gives_the_normalised_text(text):
    """U+2581 is the one exception: SentencePiece writes spaces with it."""
    processor = _fallback()
    normalized = processor.Normalize(text)
    assert processor.DecodeIds(processor.EncodeAsIds(text)) == normalized.replace(
        "▁", " "
    ).removeprefix(" ")


@functools.cache
def _fallback() -> sentencepiece.SentencePieceProcessor:
    return _processor(vocab_size=400, byte_fallback=True)


def test_the_names_of_files_are_taken_out_as_protobuf_would():
    pb2 = pytest.importorskip(
        "sentencepiece.sentencepiece_model_pb2",
        reason="SentencePiece's classes are of another protobuf",
        exc_type=Exception,
    )
    for rule in ("", "rules/a.tsv"):
        model = pb2.ModelProto.FromString(
            subwords.learn(
                TEXT, subword_config.SubwordConfig(vocab_size=99), "src", 999
            )
        )
        model.trainer_spec.input.extend(["a.txt", "b.txt"])
        model.normalizer_spec.normalization_rule_tsv = rule
        given = model.SerializeToString(deterministic=True)
        model.normalizer_spec.normalization_rule_tsv = ""
        model.trainer_spec.ClearField("input")
        wanted = model.SerializeToString(deterministic=True)
        assert subwords._without_paths(given) == wanted
