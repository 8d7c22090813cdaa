"""How fast our export runs in CTranslate2, beside one by CTranslate2's own converter.

    python -m tests.benchmarks.exported --workdir=W --src=test.en

The weights are the same: they are written in the format of Marian (Junczys-Dowmunt et
al. 2018, https://aclanthology.org/P18-4020), which CTranslate2 converts by itself. That
converter begins targets with a vector of zeros where we have BOS, so hypotheses could
differ in length; both are made to have 15 tokens. The two run in turn. The last line of
stdout is one JSON object. The packages are those of make setup-extras.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Mapping

from pipeline import runtime

runtime.start()

import ctranslate2  # noqa: E402 - TensorFlow's start-up chatter comes first
import numpy as np  # noqa: E402
import yaml  # noqa: E402

from flags import binding  # noqa: E402
from pipeline import vocabulary  # noqa: E402
from trainers import (  # noqa: E402
    config,
    decoding_config,
    naming,
    restoring,
    run_directory,
)
from trainers.exporting import ctranslate2_model  # noqa: E402
from trainers.models import config as model_config  # noqa: E402
from trainers.models import layers  # noqa: E402

_LENGTH, _BEAMS, _TYPES = 15, (1, 5), ("float32", "int8")
_BATCH_TOKENS = 1024
_NAMES = {"query": "q", "key": "k", "value": "v", "output": "o"}

Weights = Mapping[str, np.ndarray]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--src", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    run = binding.parse(
        [f"--flagfile={run_directory.flagfile(asked.workdir)}"], config.Seq2SeqConfig
    )
    words = vocabulary.load_copy(asked.workdir / run_directory.VOCABULARY)
    chosen = decoding_config.WeightsConfig(workdir=str(asked.workdir))
    model, _ = restoring.load(run, chosen, words)
    weights = {name: v.numpy() for name, v in naming.variables(model).items()}
    lines = asked.src.read_text(encoding="utf-8").split("\n")
    ids = [row for row in words.src.encode(lines) if row]
    sources = [words.src.pieces(row) for row in ids]
    num_weights = sum(value.size for value in weights.values())
    print(f"{len(sources)} sentences, {num_weights:,} weights, median of", end=" ")
    print(f"{asked.rounds}; sentences/s   ours   theirs   ratio")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in _TYPES:
            pair = _converted(weights, run.model, words, pathlib.Path(folder), kind)
            rows += [
                _compared(pair, sources, kind, beam_size, asked.rounds)
                for beam_size in _BEAMS
            ]
    print(json.dumps({"ctranslate2": {"weights": num_weights, "rows": rows}}))


def _converted(
    weights: Weights,
    model: model_config.ModelConfig,
    words: vocabulary.Vocabularies,
    folder: pathlib.Path,
    kind: str,
) -> list[ctranslate2.Translator]:
    """Returns our export and that of CTranslate2's converter, in that order."""
    ours, theirs = (folder / f"{name}_{kind}" for name in ("ours", "theirs"))
    ours.mkdir()
    ctranslate2_model.write(weights, model, words, ours, kind)
    np.savez(folder / "model.npz", **_as_marian(weights, model))
    vocabularies = []
    for name, side in (("src", words.src), ("tgt", words.tgt)):
        vocabularies.append(str(folder / f"{name}.yml"))
        pieces = enumerate(side.pieces(range(side.size)))
        lines = [f"{json.dumps(one, ensure_ascii=False)}: {k}\n" for k, one in pieces]
        pathlib.Path(vocabularies[-1]).write_text("".join(lines), encoding="utf-8")
    converter = ctranslate2.converters.MarianConverter(
        str(folder / "model.npz"), vocabularies
    )
    converter.convert(str(theirs), quantization=kind)
    return [
        ctranslate2.Translator(str(path), compute_type=kind) for path in (ours, theirs)
    ]


def _as_marian(weights: Weights, model: model_config.ModelConfig) -> Weights:
    """Returns the weights of a pre-norm Transformer under Marian's names."""
    asked = model.transformer
    if (asked.norm, asked.activation) != ("pre", "relu"):
        raise SystemExit("for runs of --norm=pre --activation=relu")
    depths = [
        depth or model.num_layers
        for depth in (asked.encoder_layers, asked.decoder_layers)
    ]
    src = weights["src_embedding/vectors"]
    tgt = weights.get("tgt_embedding/vectors", src)
    found = {
        "special:model.yml": _as_bytes(_settings(asked, depths)),
        "encoder_Wemb": src,
        "decoder_Wemb": tgt,
        "decoder_ff_logit_out_Wt": weights.get("output_embedding/vectors", tgt),
        "Wpos": layers.sinusoids(2048, model.d_model).numpy(),
    }
    for side, depth in zip(("encoder", "decoder"), depths, strict=True):
        _add_norm(found, weights, f"{side}_norm", f"{side}_top", "")
        for index in range(depth):
            _add_layer(found, weights, f"{side}/{index}", f"{side}_l{index + 1}")
    return found


def _add_layer(
    found: dict[str, np.ndarray], weights: Weights, ours: str, theirs: str
) -> None:
    kinds = {"attention": ("self", "attention_residual")}
    if f"{ours}/source_attention/query/kernel" in weights:
        kinds["source_attention"] = ("context", "source_residual")
    for name, (kind, residual) in kinds.items():
        scope = f"{theirs}_{kind}"
        for part, letter in _NAMES.items():
            _add_dense(found, weights, f"{ours}/{name}/{part}", scope, letter)
        _add_norm(found, weights, f"{ours}/{residual}/norm", f"{scope}_Wo", "_pre")
    for number, part in enumerate(("inner", "outer"), start=1):
        path = f"{ours}/feed_forward/{part}"
        _add_dense(found, weights, path, f"{theirs}_ffn", str(number))
    path = f"{ours}/feed_forward_residual/norm"
    _add_norm(found, weights, path, f"{theirs}_ffn_ffn", "_pre")


def _add_dense(
    found: dict[str, np.ndarray], weights: Weights, ours: str, theirs: str, letter: str
) -> None:
    found[f"{theirs}_W{letter}"] = weights[f"{ours}/kernel"]
    found[f"{theirs}_b{letter}"] = weights[f"{ours}/bias"][None]


def _add_norm(
    found: dict[str, np.ndarray], weights: Weights, ours: str, theirs: str, suffix: str
) -> None:
    found[f"{theirs}_ln_scale{suffix}"] = weights[f"{ours}/scale"][None]
    found[f"{theirs}_ln_bias{suffix}"] = weights[f"{ours}/offset"][None]


def _settings(
    asked: model_config.TransformerConfig, depths: list[int]
) -> dict[str, object]:
    return {
        "type": "transformer",
        "transformer-decoder-autoreg": "self-attention",
        "transformer-no-projection": False,
        "transformer-ffn-activation": "relu",
        "transformer-preprocess": "n",
        "transformer-postprocess": "da",
        "transformer-postprocess-top": "n",
        "transformer-postprocess-emb": "d",
        "transformer-guided-alignment-layer": "last",
        "transformer-heads": asked.num_heads,
        "enc-depth": depths[0],
        "dec-depth": depths[1],
    }


def _as_bytes(settings: dict[str, object]) -> np.ndarray:
    """Returns YAML as Marian keeps it: bytes, and a 0 at their end."""
    return np.frombuffer(yaml.safe_dump(settings).encode() + b"\0", np.int8)


def _compared(
    pair: list[ctranslate2.Translator],
    sources: list[list[str]],
    kind: str,
    beam_size: int,
    rounds: int,
) -> dict[str, object]:
    secs: list[list[float]] = [[], []]
    for _ in range(rounds + 1):
        for times, translator in zip(secs, pair, strict=True):
            begin = time.perf_counter()
            translator.translate_batch(
                sources,
                beam_size=beam_size,
                max_batch_size=_BATCH_TOKENS,
                batch_type="tokens",
                min_decoding_length=_LENGTH,
                max_decoding_length=_LENGTH,
            )
            times.append(time.perf_counter() - begin)
    ours, theirs = (len(sources) / statistics.median(times[1:]) for times in secs)
    print(
        f"  {kind:8} beam {beam_size}  {ours:10.1f} {theirs:8.1f} {ours / theirs:7.3f}"
    )
    return {
        "type": kind,
        "beam_size": beam_size,
        "sentences_per_sec": ours,
        "theirs": theirs,
        "ratio": ours / theirs,
    }


if __name__ == "__main__":
    main()
