"""Translates lines of stdin to lines of stdout, as many as come in, in their order.

    echo aardvark | python -m trainers.translate --workdir=runs/quickstart/work

An empty line gives an empty line. Bytes that are not UTF-8 are read as U+FFFD.
"""

import dataclasses
import functools
import itertools
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flags import binding
from pipeline import exits, knobs, progress, runtime, vocabulary
from trainers import config, run_directory

if TYPE_CHECKING:
    from trainers import translation

_CHUNK_LINES = 4096  # sorted by length together


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranslateConfig:
    """How to translate."""

    weights: config.WeightsConfig
    decoding: config.DecodingConfig
    attention: config.AttentionConfig
    with_scores: bool = knobs.knob(
        False,
        "Puts the log-probability in nats and a tab before each line, and 'cut' and a "
        "tab where the model did not end by itself.",
    )


def main(asked: TranslateConfig) -> None:
    """Translates until stdin ends."""
    workdir = pathlib.Path(asked.weights.workdir)
    flags = f"--flagfile={run_directory.flagfile(workdir)}"
    run = binding.parse_or_exit(["", flags], config.Seq2SeqConfig, "")
    config.check_decodable(run.model, asked.decoding)
    vocabularies = vocabulary.load_copy(workdir / run_directory.VOCABULARY)
    runtime.start()
    from trainers import attention_maps, restoring, translation

    model, which = restoring.load(run, asked.weights, vocabularies)
    progress.logger.info("translating with %s", which)
    translator = translation.Translator(model, vocabularies, asked.decoding)
    pictures = None
    if asked.attention.attention_dir:
        from trainers import attention_pictures

        reader = attention_maps.Reader(model, vocabularies)
        pictures = attention_pictures.Pictures(asked.attention, reader)
    lines, line = _lines(), 1
    while chunk := list(itertools.islice(lines, _chunk_size())):
        hypotheses = translator.translate(chunk)
        if pictures is not None:
            pictures.write(line, chunk, hypotheses)
        line += len(chunk)
        for hypothesis in hypotheses:
            sys.stdout.write(_line(hypothesis, with_scores=asked.with_scores))
        sys.stdout.flush()


def _chunk_size() -> int:
    """Returns how many lines are read before the first answer: one for a person."""
    return 1 if sys.stdin.isatty() else _CHUNK_LINES


def _lines() -> Iterator[str]:
    for line in sys.stdin.buffer:
        yield line.removesuffix(b"\n").removesuffix(b"\r").decode(errors="replace")


def _line(hypothesis: "translation.Hypothesis", *, with_scores: bool) -> str:
    if not with_scores:
        return f"{hypothesis.text}\n"
    cut = "" if hypothesis.finished else "cut\t"
    return f"{hypothesis.log_prob:.4f}\t{cut}{hypothesis.text}\n"


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, TranslateConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
