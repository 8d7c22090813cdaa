"""How many sentences a second are decoded, greedily and with a beam of 5.

    python -m tests.benchmarks.decoding                                made-up sources
    python -m tests.benchmarks.decoding --workdir=W --src=test.en      a run of yours

Without a run the model is a Transformer of d_model 256, d_ff 1024, 3 + 3 layers and
8,000 subwords, 7 million weights, that has learned nothing: it never ends, so that each
hypothesis is as long as its source, EOS included. The lengths of the 1,000 made-up
sources are those of image captions (mean 15, standard deviation 5 subwords). Start-up
and the first batches of each shape are not counted. Last line of stdout: one JSON
object.
"""

import argparse
import json
import pathlib
import statistics
import time
from collections.abc import Sequence

import numpy as np

from pipeline import runtime

runtime.start()

import tensorflow as tf  # noqa: E402 - TensorFlow's start-up chatter comes first

from flags import binding  # noqa: E402
from pipeline import vocabulary  # noqa: E402
from trainers import (  # noqa: E402
    config,
    decoding_config,
    restoring,
    run_directory,
    translation,
)
from trainers.decoding import beam, decoder, greedy  # noqa: E402
from trainers.models import config as model_config  # noqa: E402
from trainers.models import transformer  # noqa: E402

_SIZE = 8000
_BEAMS = (1, 5)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", type=pathlib.Path)
    parser.add_argument("--src", type=pathlib.Path)
    parser.add_argument("--checkpoints", default="best")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if (asked.workdir is None) != (asked.src is None):
        parser.error("--workdir and --src come together")
    if asked.workdir:
        model, ids = _trained(asked.workdir, asked.checkpoints, asked.src)
        ratio, offset = (
            decoding_config.DecodingConfig().max_length_ratio,
            decoding_config.DecodingConfig().max_length_offset,
        )
    else:
        model, ids = _untrained()
        ratio, offset = 1.0, 0
    num_weights = sum(int(tf.size(weight)) for weight in model.trainable_variables)
    print(f"{len(ids)} sentences, {num_weights:,} weights, median of {asked.rounds}")
    results = {}
    for beam_size in _BEAMS:
        rate = _rate(model, ids, beam_size, ratio, offset, asked.rounds)
        print(f"  beam {beam_size}: {rate:8.1f} sentences/s", flush=True)
        results[f"beam_{beam_size}_sentences_per_sec"] = rate
    print(json.dumps({"decoding": {"weights": num_weights, **results}}))


def _untrained() -> tuple[transformer.Transformer, list[list[int]]]:
    draw = np.random.default_rng(1)
    lengths = np.maximum(draw.normal(15, 5, 1000), 3).astype(int)
    ids = [draw.integers(4, _SIZE, length).tolist() for length in lengths]
    model = transformer.Transformer(
        model_config.ModelConfig(d_model=256, num_layers=3),
        src_vocab_size=_SIZE,
        tgt_vocab_size=_SIZE,
        shared=True,
        rng=draw,
    )
    return model, ids


def _trained(
    workdir: pathlib.Path, checkpoints: str, src: pathlib.Path
) -> tuple[tf.Module, list[list[int]]]:
    flags = [f"--flagfile={run_directory.flagfile(workdir)}"]
    run = binding.parse(flags, config.Seq2SeqConfig)
    vocabularies = vocabulary.load_copy(workdir / run_directory.VOCABULARY)
    weights = decoding_config.WeightsConfig(
        workdir=str(workdir), checkpoints=checkpoints
    )
    model, _ = restoring.load(run, weights, vocabularies)
    lines = src.read_text(encoding="utf-8").split("\n")
    return model, [row for row in vocabularies.src.encode(lines) if row]


def _rate(
    model: decoder.Decodable,
    ids: Sequence[Sequence[int]],
    beam_size: int,
    ratio: float,
    offset: int,
    rounds: int,
) -> float:
    """Returns sentences a second, from ids to ids."""
    decode: decoder.Decoder = greedy.GreedyDecoder(model)
    if beam_size > 1:
        decode = beam.BeamDecoder(model, beam_size=beam_size, length_penalty=1.0)
    lengths = {row: len(ids[row]) + 1 for row in range(len(ids))}
    secs = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        for rows in translation.by_length(lengths, beam_size):
            limits = [int(ratio * lengths[row]) + offset for row in rows]
            decode(translation.request([ids[row] for row in rows], limits))
        secs.append(time.perf_counter() - begin)
    return len(ids) / statistics.median(secs[1:])


if __name__ == "__main__":
    main()
