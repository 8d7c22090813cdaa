import collections
import concurrent.futures
import functools
import itertools
import json
import math
import pathlib
import re
import sys

import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from pipeline import segmentations, vocabulary
from tests import programs

TEXT = [
    "the cat sat on the mat and the bat sat on that",
    "abab baba abba aab bab ab ba a b",
    "Ein Mann fährt die Straße entlang. Ça coûte 3 € à l'été",
    "<sep> < s e p >",
] * 20
ACROSS_WORDS = {"split_by_whitespace": False, "normalization_rule_name": "identity"}
KINDS = {
    "unigram": {"vocab_size": 90},
    "unigram_bytes": {"vocab_size": 340, "byte_fallback": True},
    "unigram_symbols": {"vocab_size": 90, "user_defined_symbols": ["<sep>", "at the"]},
    "unigram_across_words": {"vocab_size": 110, **ACROSS_WORDS},
    "unigram_unused": {"vocab_size": 110},
    "bpe": {"vocab_size": 110},
    "bpe_bytes": {"vocab_size": 360, "byte_fallback": True},
    "bpe_symbols": {"vocab_size": 110, "user_defined_symbols": ["<sep>", "at the"]},
    "bpe_across_words": {"vocab_size": 130, **ACROSS_WORDS},
    "bpe_unused": {"vocab_size": 110},
}
UNIGRAM = [name for name in KINDS if name.startswith("unigram")]
BPE = [name for name in KINDS if name.startswith("bpe")]

texts = st.lists(
    st.one_of(
        st.text(),
        st.text("abtehs ▁<p>你好😀\u200b\x00\x1f\n\ufffd\u0301ﬁ"),
        st.sampled_from(TEXT),
        st.sampled_from(["", " ", "▁", "a<sep>b", "at the<sep>", "<0x41>", "<unk>"]),
    ),
    max_size=4,
)


@functools.cache
def _model(name: str) -> bytes:
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(TEXT),
        model_writer=(out := _Bytes()),
        model_type=name.split("_", maxsplit=1)[0],
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        hard_vocab_limit=False,
        minloglevel=2,
        **KINDS[name],
    )
    if not name.endswith("unused"):
        return out.content
    model = sentencepiece_model_pb2.ModelProto.FromString(out.content)
    normal = [p for p in model.pieces if p.type == p.NORMAL]
    for piece in [p for p in normal if len(p.piece) > 1][1::3]:
        piece.type = piece.UNUSED
    for piece in [p for p in normal if p.piece in "hbt"]:  # alone it is unknown
        piece.type = piece.UNUSED
    return model.SerializeToString()


class _Bytes:
    content = b""

    def write(self, content: bytes) -> None:
        self.content += content


@functools.cache
def _processor(name: str) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=_model(name))


@functools.cache
def _sampler(name: str) -> segmentations.Unigram | segmentations.Bpe:
    return segmentations.sampler(_model(name))


def _draw(name, given, *, alpha=0.2, seed=1):
    return _sampler(name).draw(
        _processor(name).Normalize(list(given)), alpha=alpha, seed=seed
    )


SCRIPT = """
import json, pathlib, sys
from pipeline import vocabulary
model = vocabulary.Vocabulary(pathlib.Path(sys.argv[1]))
print(json.dumps(model.sample(json.loads(sys.argv[2]), alpha=0.3, seed=7)))
"""


@pytest.mark.parametrize("name", ["unigram", "bpe"])
def test_a_seed_gives_the_same_ids_in_every_process(name, tmp_path):
    path = tmp_path / "a.model"
    path.write_bytes(_model(name))

    def ids_of_a_process() -> list[list[int]]:
        done = programs.run_code(SCRIPT, str(path), json.dumps(TEXT))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    here = vocabulary.Vocabulary(path).sample(TEXT, alpha=0.3, seed=7)
    assert ids_of_a_process() == ids_of_a_process() == here


@pytest.fixture
def _restless_threads():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_restless_threads")
@pytest.mark.parametrize("name", ["unigram", "bpe"])
def test_a_seed_gives_the_same_ids_in_every_thread(name):
    def ids_of(seed: int) -> list[list[int]]:
        return _draw(name, TEXT, seed=seed)

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ids_of, range(40))) == list(map(ids_of, range(40)))


@pytest.mark.parametrize("name", KINDS)
def test_other_seeds_and_repeated_texts_give_other_segmentations(name):
    assert _draw(name, TEXT) != _draw(name, TEXT, seed=2)
    assert len(set(map(tuple, _draw(name, TEXT[:1] * 10)))) > 1


@pytest.mark.parametrize("name", UNIGRAM)
@settings(deadline=None)
@example(given=TEXT[:4])
@given(given=texts)
def test_a_large_alpha_gives_the_librarys_best_segmentation(name, given):
    processor = _processor(name)
    drawn = _draw(name, given, alpha=1e7)
    for ids, best in zip(drawn, processor.EncodeAsIds(given), strict=True):
        scores = [sum(map(processor.GetScore, row)) for row in (ids, best)]
        assert ids == best or math.isclose(*scores, abs_tol=1e-4)


@pytest.mark.parametrize("name", BPE)
@settings(deadline=None)
@example(given=TEXT[:4])
@given(given=texts)
def test_bpe_without_dropout_is_the_librarys_encoding(name, given):
    assert _draw(name, given, alpha=0.0) == _processor(name).EncodeAsIds(given)


@pytest.mark.parametrize("name", KINDS)
@settings(deadline=None)
@example(given=TEXT[:4])
@given(given=texts)
def test_the_pieces_of_a_segmentation_are_the_normalised_text(name, given):
    processor = _processor(name)
    normalized = processor.Normalize(given)
    for text, ids in zip(normalized, _draw(name, given), strict=True):
        pieces = processor.IdToPiece(ids)
        assert re.fullmatch(b"".join(map(_pattern, pieces)), text.encode(), re.DOTALL)
        assert ("<unk>", "<unk>") not in itertools.pairwise(pieces)


def _pattern(piece: str) -> bytes:
    if piece == "<unk>":
        return b".+"
    if re.fullmatch("<0x..>", piece):
        return re.escape(bytes([int(piece[3:5], 16)]))
    return re.escape(piece.encode())


def _frequencies(name, word, alpha, draws=20_000):
    rows = _draw(name, [word] * draws, alpha=alpha)
    pieces = [tuple(_processor(name).IdToPiece(ids)) for ids in rows]
    return {key: n / draws for key, n in collections.Counter(pieces).items()}


def _assert_close(found, expected, draws=20_000):
    assert found.keys() <= expected.keys()
    for key, share in expected.items():
        deviation = math.sqrt(share * (1 - share) / draws)
        assert abs(found.get(key, 0) - share) < 5 * deviation + 1e-9, key


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_unigram_segmentations_come_as_often_as_their_probability_to_the_alpha(alpha):
    processor = _processor("unigram")
    word, weights = "▁that", {}
    for cuts in itertools.product([False, True], repeat=len(word) - 1):
        text = "".join(c + " " * cut for c, cut in zip(word, [*cuts, 0], strict=True))
        pieces = tuple(text.split(" "))
        ids = processor.PieceToId(list(pieces))
        if 3 not in ids:
            weights[pieces] = math.exp(alpha * sum(map(processor.GetScore, ids)))
    total = sum(weights.values())
    assert len(weights) > 3
    expected = {pieces: weight / total for pieces, weight in weights.items()}
    _assert_close(_frequencies("unigram", "that", alpha), expected)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_bpe_leaves_candidates_out_as_the_papers_algorithm_1_does(alpha):
    processor = _processor("bpe")
    expected = collections.Counter()

    def go_on(symbols: tuple[str, ...], chance: float) -> None:
        """Draws every subset of the candidates, and merges the best one in it."""
        candidates = []
        for place, (left, right) in enumerate(itertools.pairwise(symbols)):
            index = processor.PieceToId(left + right)
            if index != 3:
                candidates.append((-processor.GetScore(index), place))
        for kept in itertools.product([False, True], repeat=len(candidates)):
            own = chance * alpha ** kept.count(False) * (1 - alpha) ** sum(kept)
            left = [c for c, keep in zip(candidates, kept, strict=True) if keep]
            if not left:
                expected[symbols] += own
            elif own:
                place = min(left)[1]
                both = symbols[place] + symbols[place + 1]
                go_on((*symbols[:place], both, *symbols[place + 2 :]), own)

    go_on(tuple("▁that"), 1.0)
    assert len(expected) > 3 or alpha == 1
    _assert_close(_frequencies("bpe", "that", alpha), expected)


@pytest.mark.parametrize("name", ["unigram_symbols", "bpe_symbols"])
def test_user_defined_symbols_stay_whole(name):
    index = _processor(name).PieceToId("<sep>")
    assert all(index in ids for ids in _draw(name, ["a<sep>b"] * 300, alpha=0.01))


@pytest.mark.parametrize("name", ["unigram", "bpe"])
def test_words_longer_than_what_is_kept_are_drawn_too(name):
    (ids,) = _draw(name, ["ab" * 500], alpha=0.2)
    assert "".join(_processor(name).IdToPiece(ids)) == "▁" + "ab" * 500


def test_a_model_of_characters_has_one_segmentation(tmp_path: pathlib.Path):
    out = _Bytes()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(TEXT),
        model_writer=out,
        model_type="char",
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        minloglevel=2,
    )
    assert segmentations.sampler(out.content) is None
    (tmp_path / "a.model").write_bytes(out.content)
    model = vocabulary.Vocabulary(tmp_path / "a.model")
    assert model.sample(["ab"], alpha=0.5, seed=1) == model.encode(["ab"])
