"""Translates lines of stdin to lines of stdout, as many as come in, in their order.

    echo aardvark | python -m trainers.translate --workdir=runs/quickstart/work
    python -m trainers.translate --workdir=W --input=a.txt --output=b.txt --beam_size=5
    paste a.txt b.txt | python -m trainers.translate --workdir=W --score

An empty line gives an empty line. Bytes that are not UTF-8 are read as U+FFFD. With
--n_best each line gives so many lines, always. On a terminal it asks for a line at a
time; Ctrl-D ends it.
"""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, TextIO

from flags import binding
from pipeline import exits, files, knobs, progress, runtime, vocabulary
from trainers import config, decoding_config, run_directory
from trainers import lines as lines_lib

if TYPE_CHECKING:
    from trainers import attention_pictures, translation
    from trainers.decoding import decoder

_CHUNK_LINES = 4096  # sorted by length together
_PROMPT = "> "
_OF_SCORING = {
    *("score", "target", "input", "output"),
    *("max_source_tokens", "ensemble"),
}

Pair = tuple[str, str]  # a source, and the prefix or target beside it, if any
# Pairs that come in together, and the number of the first -> lines that go out.
Work = Callable[[Sequence[Pair], int], Iterator[str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranslateConfig:
    """What to translate."""

    weights: decoding_config.WeightsConfig
    decoding: decoding_config.DecodingConfig
    attention: decoding_config.AttentionConfig
    input: str | None = knobs.knob(None, "Reads this file instead of stdin.")
    output: str | None = knobs.knob(
        None, "Writes this file instead of stdout; it has its name once it is whole."
    )
    n_best: int = knobs.knob(
        1,
        "Hypotheses of each line, the best first, each on a line: at most --beam_size, "
        "or so many drawn ones.",
    )
    with_scores: bool = knobs.knob(
        False,
        "Puts the log-probability in nats and a tab before each line, and 'cut' and a "
        "tab where the model did not end by itself.",
    )
    prefix_file: str | None = knobs.knob(
        None, "A file with as many lines: how each line's translations begin."
    )
    score: bool = knobs.knob(
        False,
        "Translates nothing: reads a source, a tab and a target from each line, and "
        "writes the log-probability of the target in nats.",
    )
    target: str | None = knobs.knob(
        None, "With --score: a file with as many lines, the targets."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for what does not go together."""
        knobs.require_positive(self, "n_best")
        if self.n_best > self.decoding.beam_size and not self.decoding.is_sampling:
            raise ValueError(
                f"--n_best={self.n_best} needs a --beam_size of at least as many, or "
                "--sampling_temperature"
            )
        if self.target and not self.score:
            raise ValueError("--target needs --score")
        ignored = {*knobs.chosen(self), *knobs.chosen(self.decoding)} - _OF_SCORING
        if self.score and ignored:
            raise ValueError(f"--score translates nothing: leave --{min(ignored)} out")
        if self.attention.attention_dir and (self.score or self.decoding.ensemble):
            raise ValueError("--attention_dir goes neither with --score nor --ensemble")


def main(asked: TranslateConfig) -> None:
    """Translates or scores until the input ends."""
    _check_files(asked)
    runs = _runs(asked)
    workdir = pathlib.Path(asked.weights.workdir)
    vocabularies = vocabulary.load_copy(workdir / run_directory.VOCABULARY)
    runtime.start()
    from trainers import restoring

    model, which = restoring.load_together(
        runs, asked.weights, asked.decoding.ensemble, vocabularies
    )
    progress.logger.info("using %s", which)
    (_score if asked.score else _translate)(asked, model, vocabularies)


def _check_files(asked: TranslateConfig) -> None:
    """Refuses files that cannot be read or written, before TensorFlow starts."""
    files.check_target(asked.output, "--output")
    for path in (asked.input, asked.prefix_file, asked.target):
        # A pipe is as good: <(zcat FILE.gz)
        if path and (not pathlib.Path(path).exists() or pathlib.Path(path).is_dir()):
            raise exits.Refusal(exits.MISSING_INPUT, f"{path}: no such file")


def _runs(asked: TranslateConfig) -> list[config.Seq2SeqConfig]:
    """Returns the flags of the runs, or refuses those that cannot decode."""
    flagfiles = run_directory.flagfiles_of_texts(
        asked.weights.workdir, asked.decoding.ensemble
    )
    runs = [binding.read_or_exit(path, config.Seq2SeqConfig) for path in flagfiles]
    for run in runs:
        decoding_config.check_decodable(run.model, asked.decoding)
    decoding_config.check_attentive(runs[0].model, asked.attention)
    return runs


def _score(
    asked: TranslateConfig,
    model: "decoder.Decodable",
    vocabularies: vocabulary.Vocabularies,
) -> None:
    """Writes log-probabilities until the input ends."""
    from trainers import out_of_memory, translation

    scorer = translation.Scorer(
        model, vocabularies, max_tokens=asked.decoding.max_source_tokens
    )
    with out_of_memory.refused("scoring", "lower --max_source_tokens"):
        _run(asked, functools.partial(_scores, scorer))


def _translate(
    asked: TranslateConfig,
    model: "decoder.Decodable",
    vocabularies: vocabulary.Vocabularies,
) -> None:
    """Writes translations until the input ends, and draws them if asked to."""
    from trainers import out_of_memory, translation

    translator = translation.Translator(
        model,
        vocabularies,
        asked.decoding,
        n_best=asked.n_best,
        has_prefixes=asked.prefix_file is not None,
    )
    pictures = _pictures(asked, model, vocabularies)
    with out_of_memory.decoding_refused(asked.decoding):
        _run(asked, functools.partial(_translations, translator, asked, pictures))
    if translator.num_cut:
        progress.logger.warning(
            "%d sources had more than %d tokens and were cut",
            translator.num_cut,
            asked.decoding.max_source_tokens,
        )


def _pictures(
    asked: TranslateConfig,
    model: "decoder.Decodable",
    vocabularies: vocabulary.Vocabularies,
) -> "attention_pictures.Pictures | None":
    """Returns what draws where the model looks, or None."""
    if not asked.attention.attention_dir:
        return None
    from trainers import attention_maps, attention_pictures

    reader = attention_maps.Reader(
        model, vocabularies, max_source_tokens=asked.decoding.max_source_tokens
    )
    return attention_pictures.Pictures(asked.attention, reader)


def _translations(
    translator: "translation.Translator",
    asked: TranslateConfig,
    pictures: "attention_pictures.Pictures | None",
    pairs: Sequence[Pair],
    first_line: int,
) -> Iterator[str]:
    """Yields the translations of some sources, as lines; draws the best of each."""
    sources = [source for source, _ in pairs]
    found = translator.hypotheses(
        sources,
        prefixes=[prefix for _, prefix in pairs] if asked.prefix_file else (),
        first_line=first_line,
    )
    if pictures is not None:
        pictures.write(first_line, sources, [best for best, *_ in found])
    for hypothesis in itertools.chain.from_iterable(found):
        yield _line(hypothesis, with_scores=asked.with_scores)


def _scores(
    scorer: "translation.Scorer", pairs: Sequence[Pair], first_line: int
) -> Iterator[str]:
    """Yields the log-probabilities of some targets, as lines."""
    sources, targets = zip(*pairs, strict=True)
    for log_prob in scorer.score(sources, targets, first_line=first_line):
        yield f"{log_prob:.6f}\n"


def _run(asked: TranslateConfig, work: Work) -> None:
    """Reads, works and writes until the input ends."""
    is_asking = asked.input is None and sys.stdin.isatty()
    with contextlib.ExitStack() as stack:
        source = sys.stdin.buffer
        if asked.input:
            source = stack.enter_context(pathlib.Path(asked.input).open("rb"))
        lines = (
            _prompted(source)
            if is_asking
            else lines_lib.read(source, asked.input or "stdin")
        )
        beside = asked.target or asked.prefix_file
        if beside:
            more = stack.enter_context(pathlib.Path(beside).open("rb"))
            pairs = _side_by_side(lines, lines_lib.read(more, beside), beside)
        elif asked.score:
            pairs = _split(lines)
        else:
            pairs = ((line, "") for line in lines)
        target: TextIO = sys.stdout
        if asked.output:
            writing = files.writing_whole(pathlib.Path(asked.output))
            target = stack.enter_context(writing)
        bar = None
        if not is_asking and (asked.output or not sys.stdout.isatty()):
            bar = stack.enter_context(progress.Progress("translating", unit="lines"))
        first_line = 1
        size = 1 if is_asking else _CHUNK_LINES
        while chunk := list(itertools.islice(pairs, size)):
            for line in work(chunk, first_line):
                target.write(line)
            target.flush()
            first_line += len(chunk)
            if bar:
                bar.update(len(chunk))


def _prompted(source: BinaryIO) -> Iterator[str]:
    """Yields the lines that a person types, until Ctrl-D."""
    while True:
        sys.stderr.write(_PROMPT)
        sys.stderr.flush()
        line = source.readline()
        if not line:
            sys.stderr.write("\n")
            return
        yield lines_lib.text(line)


def _split(lines: Iterator[str]) -> Iterator[Pair]:
    """Yields what stands before and after the tab of each line, or refuses."""
    for number, line in enumerate(lines, start=1):
        source, tab, target = line.partition("\t")
        if not tab:
            raise exits.Refusal(
                exits.BAD_DATA,
                f"line {number}: --score wants a source, a tab and a target; or name "
                "the targets with --target",
            )
        yield source, target


def _side_by_side(
    lines: Iterator[str], others: Iterator[str], name: str
) -> Iterator[Pair]:
    """Yields the lines of both together, or refuses where one ends before the other."""
    both = itertools.zip_longest(lines, others)
    for number, (left, right) in enumerate(both, start=1):
        if left is None or right is None:
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{name}: has {'fewer' if right is None else 'more'} lines than the "
                f"input: one of them ends before line {number}",
            )
        yield left, right


def _line(hypothesis: "translation.Hypothesis", *, with_scores: bool) -> str:
    if not with_scores:
        return f"{hypothesis.text}\n"
    cut = "" if hypothesis.finished else "cut\t"
    return f"{hypothesis.log_prob:.4f}\t{cut}{hypothesis.text}\n"


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, TranslateConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
