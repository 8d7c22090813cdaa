"""CTranslate2: the Transformer for its inference engine, int8 included.

Klein et al. 2020, https://aclanthology.org/2020.ngt-1.25; https://opennmt.net/CTranslate2.
Its layers read W x with W [outputs, inputs], ours x W with [inputs, outputs]; queries,
keys and values of one input are one matrix there.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ctranslate2
import numpy as np
import tensorflow as tf
from ctranslate2 import specs
from ctranslate2.specs import common_spec, model_spec

from pipeline import exits, vocabulary
from trainers.models import config as model_config
from trainers.models import layers

# Twice the longest source that CTranslate2 reads unless it is told otherwise, and 50:
# the longest hypothesis of our own decoders.
_NUM_POSITIONS = 2100
_ACTIVATIONS = {
    "relu": common_spec.Activation.RELU,
    "gelu": common_spec.Activation.GELU,
}

Weights = Mapping[str, np.ndarray]


def write(
    weights: Weights,
    config: model_config.ModelConfig,
    vocabularies: vocabulary.Vocabularies,
    directory: pathlib.Path,
    quantization: str,
) -> None:
    """Writes the model into a directory.

    Args:
        weights: Of a Transformer, by attribute path.
        config: Its sizes.
        vocabularies: Of its two sides.
        directory: Takes `model.bin`, `config.json` and the vocabularies as JSON.
        quantization: How weights are stored: float32, bfloat16 or int8.
    """
    src, tgt = vocabularies.src, vocabularies.tgt
    spec = _spec(weights, config, src.size, tgt.size)
    spec.register_source_vocabulary(src.pieces(range(src.size)))
    spec.register_target_vocabulary(tgt.pieces(range(tgt.size)))
    for name, value in _special_tokens(tgt).items():
        setattr(spec.config, name, value)
    spec.config.add_source_eos = True
    spec.config.layer_norm_epsilon = layers.NORM_EPSILON
    if quantization == "bfloat16":
        # Its own conversion wants PyTorch; what is bfloat16 already is left as it is.
        _cast(spec, tf.bfloat16.as_numpy_dtype)
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(directory))
    # Raises for what it would not load.
    ctranslate2.Translator(str(directory), compute_type="float32")


def page(vocabularies: vocabulary.Vocabularies) -> str:
    """Returns how the model is used, as Markdown."""
    src, tgt = (entry.filename for entry in vocabularies.entries)
    never = vocabularies.tgt.pieces([vocabulary.PAD_ID, vocabulary.BOS_ID])
    return f"""\
    import ctranslate2, sentencepiece

    src = sentencepiece.SentencePieceProcessor(model_file="{src}")
    tgt = sentencepiece.SentencePieceProcessor(model_file="{tgt}")
    translator = ctranslate2.Translator(".")
    sources = src.encode(["A sentence.", "Another one."], out_type=str)
    never = {[[piece] for piece in never]}  # what our decoders never say
    found = translator.translate_batch(
        sources, beam_size=1, min_decoding_length=0, suppress_sequences=never
    )
    print([tgt.decode(result.hypotheses[0]) for result in found])

CTranslate2 adds EOS to the source. What it computes in is chosen by `compute_type` when
the model is loaded; a machine without bfloat16 products runs a bfloat16 model in
float32. Sources and hypotheses have at most {_NUM_POSITIONS:,} subwords; our own
decoders cut a hypothesis after 50 and twice the subwords of the source, CTranslate2
after its `max_decoding_length`, 256.
"""


def _spec(
    weights: Weights, config: model_config.ModelConfig, src_size: int, tgt_size: int
) -> specs.TransformerSpec:
    """Returns the model without its vocabularies."""
    asked = config.transformer
    _check_known(asked)
    pre = asked.norm == "pre"
    depths = (
        asked.encoder_layers or config.num_layers,
        asked.decoder_layers or config.num_layers,
    )
    spec = specs.TransformerSpec.from_config(
        depths,
        asked.num_heads,
        pre_norm=pre,
        activation=_ACTIVATIONS[asked.activation],
    )
    # Rows past the vocabulary only make our products faster.
    src_vectors = weights["src_embedding/vectors"][:src_size]
    # Where both sides share one, it is named after the source.
    tgt_vectors = weights.get("tgt_embedding/vectors", src_vectors)[:tgt_size]
    positions = layers.sinusoids(_NUM_POSITIONS, config.d_model).numpy()
    spec.encoder.embeddings[0].weight = src_vectors
    spec.decoder.embeddings.weight = tgt_vectors
    output = weights.get("output_embedding/vectors", tgt_vectors)
    spec.decoder.projection.weight = output[:tgt_size]
    for name, own, side in (
        ("encoder", "src_positions/vectors", spec.encoder),
        ("decoder", "tgt_positions/vectors", spec.decoder),
    ):
        side.position_encodings.encodings = _extended(weights.get(own, positions))
        if pre:
            _set_norm(side.layer_norm, weights, f"{name}_norm")
        for index, layer in enumerate(side.layer):
            _set_layer(layer, weights, f"{name}/{index}")
    return spec


def _extended(positions: np.ndarray) -> np.ndarray:
    """Returns vectors of as many positions as CTranslate2 is to know.

    As in our model, positions after the last learned one share its vector.
    """
    missing = max(_NUM_POSITIONS - len(positions), 0)
    return np.pad(positions, ((0, missing), (0, 0)), mode="edge")


def _check_known(asked: model_config.TransformerConfig) -> None:
    """Refuses a Transformer whose weights this export would not know to place."""
    known = {
        "positions": not asked.is_rotary,
        "activation": asked.activation in _ACTIVATIONS,
    }
    unknown = [
        f"--{k}={getattr(asked, k)}" for k, is_known in known.items() if not is_known
    ]
    if unknown:
        raise exits.Refusal(
            exits.MISMATCH,
            f"{' '.join(unknown)}: not known to the export for CTranslate2; use "
            "--format=saved_model",
        )


def _set_layer(layer: Any, weights: Weights, path: str) -> None:
    """Sets an encoder's or decoder's layer."""
    _set_attention(layer.self_attention, weights, f"{path}/attention", fused=3)
    _set_norm(
        layer.self_attention.layer_norm, weights, f"{path}/attention_residual/norm"
    )
    if hasattr(layer, "attention"):
        _set_attention(layer.attention, weights, f"{path}/source_attention", fused=1)
        _set_norm(layer.attention.layer_norm, weights, f"{path}/source_residual/norm")
    inner, outer = (f"{path}/feed_forward/{name}" for name in ("inner", "outer"))
    _set_dense(layer.ffn.linear_0, weights, [inner])
    _set_dense(layer.ffn.linear_1, weights, [outer])
    _set_norm(layer.ffn.layer_norm, weights, f"{path}/feed_forward_residual/norm")


def _set_attention(spec: Any, weights: Weights, path: str, *, fused: int) -> None:
    """Sets attention; the first `fused` of query, key and value are one product."""
    inputs = [f"{path}/{part}" for part in ("query", "key", "value")]
    products = [inputs[:fused], inputs[fused:], [f"{path}/output"]]
    for linear, parts in zip(spec.linear, filter(None, products), strict=True):
        _set_dense(linear, weights, parts)


def _set_dense(spec: Any, weights: Weights, paths: Sequence[str]) -> None:
    """Sets a product, of several layers side by side."""
    kernels = [weights[f"{path}/kernel"] for path in paths]
    spec.weight = np.ascontiguousarray(np.concatenate(kernels, axis=1).T)
    spec.bias = np.concatenate([weights[f"{path}/bias"] for path in paths])


def _set_norm(spec: Any, weights: Weights, path: str) -> None:
    spec.gamma, spec.beta = weights[f"{path}/scale"], weights[f"{path}/offset"]


def _special_tokens(vocab: vocabulary.Vocabulary) -> dict[str, str]:
    """Returns what the pieces of the special ids are called in this vocabulary."""
    ids = (vocabulary.BOS_ID, vocabulary.EOS_ID, vocabulary.UNK_ID, vocabulary.BOS_ID)
    names = ("bos_token", "eos_token", "unk_token", "decoder_start_token")
    return dict(zip(names, vocab.pieces(ids), strict=True))


def _cast(spec: specs.TransformerSpec, dtype: Any) -> None:
    """Changes the type of all weights."""
    for path, value in spec.variables().items():
        if isinstance(value, np.ndarray) and value.dtype == np.float32:
            *parents, name = path.split("/")
            setattr(
                model_spec.index_spec(spec, "/".join(parents)),
                name,
                value.astype(dtype),
            )
