"""What a trained model attends to in some sentences of the valid split."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline import vocabulary
from trainers import (
    attention_maps,
    config,
    decoding_config,
    restoring,
    run_directory,
    translation,
)
from trainers.reporting import collecting, grids, markup

_MOST_PIECES = 60  # of a side


class Map(NamedTuple):
    """A hypothesis with what it attended to.

    Attributes:
        source: The sentence.
        hypothesis: What the model says to it.
        src_pieces: Its subwords, S of them.
        tgt_pieces: Those of the hypothesis, T.
        weights: How much of each source subword, the mean over layers and heads,
            float [T, S].
    """

    source: str
    hypothesis: str
    src_pieces: list[str]
    tgt_pieces: list[str]
    weights: np.ndarray


def read(run: collecting.Run, asked: config.Seq2SeqConfig, count: int) -> list[Map]:
    """Returns maps for some of the samples, with the best weights of the run.

    Raises:
        exits.Refusal: If there is no checkpoint, or the model has no attention.
    """
    steps = sorted(run.samples)
    sources = [one.source for one in run.samples[steps[-1]]] if steps else []
    if not sources:
        return []
    vocabularies = vocabulary.load_copy(run.workdir / run_directory.VOCABULARY)
    weights = decoding_config.WeightsConfig(workdir=str(run.workdir))
    model, _ = restoring.load(asked, weights, vocabularies)
    reader = attention_maps.Reader(model, vocabularies)
    said = translation.Translator(model, vocabularies).translate(sources[:count])
    found = []
    for source, hypothesis in zip(sources, said, strict=False):
        read_off = reader.read(source, hypothesis)
        if read_off is not None:
            weights_shown = read_off.chosen(-1, -1)[:_MOST_PIECES, :_MOST_PIECES]
            found.append(
                Map(
                    source,
                    hypothesis.text,
                    read_off.src_pieces[:_MOST_PIECES],
                    read_off.tgt_pieces[:_MOST_PIECES],
                    weights_shown,
                )
            )
    return found


def describe(found: Sequence[Map]) -> list[markup.Markup]:
    """Returns the maps as pictures."""
    told = (
        "Source subwords across, what was said down; the mean over all layers and "
        "heads of the decoder, darker is more. Weights: the best checkpoint."
    )
    cards = [
        markup.tag(
            "figure",
            markup.tag("figcaption", one.hypothesis or "(nothing)", dir="auto"),
            grids.draw(
                one.tgt_pieces,
                one.src_pieces,
                one.weights / max(float(one.weights.max()), 1e-9),
            ),
        )
        for one in found
    ]
    return [
        markup.tag("p", told, class_="told"),
        markup.tag("div", cards, class_="cards"),
    ]
