import ctranslate2
import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching, exits, vocabulary
from tests import decoding_requests, small_models
from trainers import naming, noise
from trainers.decoding import greedy
from trainers.exporting import ctranslate2_model

TEXTS = ["ba du ki", "mo", "ki mo ba du ba du ki lo", "😀 ba"]
LENGTH = 20


def _write(model, both, directory, quantization="float32", **changes):
    directory.mkdir()
    weights = {name: v.numpy() for name, v in naming.variables(model).items()}
    sizes = small_models.transformer_config(**changes)
    ctranslate2_model.write(weights, sizes, both, directory, quantization)


def _pieces(both, texts):
    return [both.src.pieces(ids) for ids in both.src.encode(texts)]


def _theirs(both, directory):
    """Returns pieces and log-probabilities."""
    translator = ctranslate2.Translator(str(directory), intra_threads=1)
    found = translator.translate_batch(
        _pieces(both, TEXTS),
        beam_size=1,
        length_penalty=0,
        min_decoding_length=0,
        max_decoding_length=LENGTH,
        suppress_sequences=[["<pad>"], ["<s>"]],  # as its page says
        return_scores=True,
    )
    return [result.hypotheses[0] for result in found]


def _ours(model, both):
    ids = [[*row, vocabulary.EOS_ID] for row in both.src.encode(TEXTS)]
    padded = tf.ragged.constant(ids, dtype=tf.int32).to_tensor(vocabulary.PAD_ID)
    said, _, _ = greedy.GreedyDecoder(model).best(
        decoding_requests.plain(padded, 2.0, 50)
    )
    pieces = []
    for row in said.numpy()[:, :LENGTH].tolist():
        end = row.index(vocabulary.EOS_ID) if vocabulary.EOS_ID in row else LENGTH
        pieces.append(both.tgt.pieces(row[:end]))
    return pieces


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("shared", [True, False])
def test_ctranslate2_says_what_our_greedy_decoder_says(
    data_dir, tmp_path, norm, shared
):
    both = small_models.vocabularies(data_dir)._replace(shared=shared)
    model = small_models.decisive_transformer(both, norm=norm)
    _write(model, both, tmp_path / "model", norm=norm)
    found = _theirs(both, tmp_path / "model")
    assert found == _ours(model, both)
    assert len({" ".join(row) for row in found}) > 1


@pytest.mark.parametrize(
    ("shared", "given"),
    [
        (True, {"norm": "pre"}),
        (True, {"norm": "post"}),
        (False, {"norm": "pre"}),
        (False, {"norm": "post", "tied_embeddings": "none"}),
        (True, {"activation": "gelu", "positions": "learned"}),
        (True, {"encoder_layers": 3, "decoder_layers": 1}),
    ],
    ids=str,
)
def test_ctranslate2_finds_a_target_as_likely_as_we_do(
    data_dir, tmp_path, shared, given
):
    both = small_models.vocabularies(data_dir)._replace(shared=shared)
    model = small_models.decisive_transformer(both, strength=2, **given)
    _write(model, both, tmp_path / "model", **given)
    translator = ctranslate2.Translator(str(tmp_path / "model"), intra_threads=1)
    sources, targets = TEXTS, TEXTS[::-1]
    found = translator.score_batch(*map(_pieces, (both, both), (sources, targets)))
    src, tgt = (both.src.encode(texts) for texts in (sources, targets))
    for result, src_ids, tgt_ids in zip(found, src, tgt, strict=True):
        batch = batching.Batch(
            tf.constant([[*src_ids, vocabulary.EOS_ID]]),
            tf.constant([[vocabulary.BOS_ID, *tgt_ids]]),
            tf.constant([[*tgt_ids, vocabulary.EOS_ID]]),
        )
        ours = model.losses(batch, smoothing=tf.constant(0.0), draw=noise.NONE)
        assert -sum(result.log_probs) == pytest.approx(float(ours.nll_sum), rel=1e-5)


def test_positions_after_the_last_learned_one_share_it(data_dir, tmp_path):
    both = small_models.vocabularies(data_dir)
    given = {"positions": "learned", "max_positions": 4}
    model = small_models.decisive_transformer(both, **given)
    _write(model, both, tmp_path / "model", **given)
    assert _theirs(both, tmp_path / "model") == _ours(model, both)


@pytest.mark.parametrize(
    "given",
    [{"positions": "rotary"}, {"positions": "rotary_all"}, {"activation": "swiglu"}],
)
def test_what_the_export_does_not_know_is_refused(data_dir, tmp_path, given):
    both = small_models.vocabularies(data_dir)
    model = small_models.decisive_transformer(both, **given)
    (told,) = (f"--{name}={value}: not known" for name, value in given.items())
    with pytest.raises(exits.Refusal, match=f"^{told}.*saved_model"):
        _write(model, both, tmp_path / "model", **given)


@pytest.mark.parametrize(("quantization", "share"), [("bfloat16", 0.6), ("int8", 0.4)])
def test_fewer_bits_make_a_smaller_model_that_loads(
    data_dir, tmp_path, quantization, share
):
    both = small_models.vocabularies(data_dir)
    # So wide that positions and names weigh little.
    model = small_models.decisive_transformer(both, d_model=64, d_ff=2048)
    for kind in ("float32", quantization):
        _write(model, both, tmp_path / kind, kind, d_model=64, d_ff=2048)
    wide, narrow = (
        (tmp_path / kind / "model.bin").stat().st_size
        for kind in ("float32", quantization)
    )
    assert narrow < share * wide
    assert len(_theirs(both, tmp_path / quantization)) == len(TEXTS)


@pytest.mark.parametrize("quantization", ["bfloat16", "int8"])
def test_fewer_bits_change_log_probabilities_a_little(data_dir, tmp_path, quantization):
    both = small_models.vocabularies(data_dir)
    model = small_models.decisive_transformer(both, strength=1)
    scores = []
    for kind in ("float32", quantization):
        _write(model, both, tmp_path / kind, kind)
        translator = ctranslate2.Translator(str(tmp_path / kind), intra_threads=1)
        pieces = _pieces(both, TEXTS)
        found = translator.score_batch(pieces, pieces)
        scores.append(np.concatenate([result.log_probs for result in found]))
    exact, rounded = scores
    assert 0 < np.abs(exact - rounded).max() < 0.3
