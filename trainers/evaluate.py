"""Scores a trained run on a split of its data directory, or on files.

    python -m trainers.evaluate --workdir=runs/quickstart/work --split=test
    python -m trainers.evaluate --workdir=W --src_file=a.en --ref_file=a.de,b.de
    python -m trainers.evaluate --workdir=W --against=OTHER

The last line of stdout is one JSON object, also in <workdir>/evaluate_<split>.json,
for files evaluate_files.json. Scores on other data than the run's have a file of their
own, evaluate_<split>_<name of --data_dir>.json, and so have those of an --ensemble,
evaluate_<split>_ensemble.json.
"""

import dataclasses
import functools
import json
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from flags import binding
from pipeline import (
    exits,
    files,
    knobs,
    locations,
    manifest,
    progress,
    runtime,
    vocabulary,
)
from trainers import (
    config,
    decoding_config,
    lines,
    run_directory,
    score_tables,
    seq2vec_config,
)

if TYPE_CHECKING:
    from trainers import evaluation, translation

_FILES = "files"  # in the place of a split's name
_OF_TEXTS = (
    *("src_file", "ref_file", "lowercase", "tokenize"),
    *("against", "bootstrap", "baseline"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What to score."""

    weights: decoding_config.WeightsConfig
    decoding: decoding_config.DecodingConfig
    data_dir: str | None = knobs.knob(
        None, "Another data directory than the run's; its scores get another file."
    )
    split: str = knobs.knob("valid", "Which examples.", choices=("valid", "test"))
    src_file: str | None = knobs.knob(
        None, "Sources, UTF-8, one a line, in the place of a split."
    )
    ref_file: tuple[str, ...] = knobs.knob(
        (), "Their references; several files, comma-separated, for several of each."
    )
    lowercase: bool = knobs.knob(
        False, "Scores ignore case; they do anyway if the model has none."
    )
    tokenize: str = knobs.knob(
        "13a",
        "sacreBLEU's tokenizer for BLEU; some need an extra of sacreBLEU's, or the "
        "network.",
        choices=(
            *("13a", "none", "intl", "char", "zh", "ja-mecab", "ko-mecab"),
            *("spm", "flores101", "flores200", "spBLEU-1K"),
        ),
    )
    against: str | None = knobs.knob(
        None, "Another run: is the difference between the two by chance?"
    )
    bootstrap: int = knobs.knob(
        1000, "Draws of sentences for confidence intervals and --against; 0 for none."
    )
    samples: int = knobs.knob(10, "Examples shown with hypothesis and reference.")
    baseline: bool = knobs.knob(
        False, "Shows what a token-by-token dictionary scores beside it."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be, or does not go together."""
        knobs.require_at_least(self, 0, "samples", "bootstrap")
        if bool(self.src_file) != bool(self.ref_file):
            raise ValueError("--src_file and --ref_file come together")
        if self.src_file:
            self._check_of_files()
        if self.against and self.bootstrap < 100:
            raise ValueError(
                f"--against needs --bootstrap of at least 100, got {self.bootstrap}"
            )

    def _check_of_files(self) -> None:
        """Raises ValueError for what is asked of a split."""
        if self.baseline:
            raise ValueError("--baseline learns from a data directory, not --src_file")
        ignored = [name for name in ("split", "data_dir") if name in knobs.chosen(self)]
        if ignored:
            raise ValueError(
                f"--src_file is in the place of a split: leave --{ignored[0]} out"
            )


def main(asked: EvaluateConfig) -> None:
    """Scores, prints and writes the result."""
    workdir = pathlib.Path(asked.weights.workdir)
    if run_directory.is_of_vectors(workdir):
        _evaluate_vectors(asked, workdir)
    else:
        _evaluate_texts(asked, workdir)


def tell(report: score_tables.Report, workdir: pathlib.Path, name: str) -> None:
    """Prints what was found, the JSON last, and only then writes the files.

    Args:
        report: What was found.
        workdir: Where the files go.
        name: What they are called after, such as `valid`.

    Raises:
        exits.Refusal: With `DISK` if a file cannot be written.
    """
    text = json.dumps(report.result)
    try:
        print(report.shown)
        print(text, flush=True)
    finally:  # a reader that goes away early leaves the files
        try:
            files.write_whole(workdir / f"evaluate_{name}.json", text + "\n")
            if report.write_more is not None:
                report.write_more(name)
        except OSError as error:
            path = str(error.filename or workdir).removesuffix(".partial")
            raise exits.Refusal(
                exits.DISK,
                f"{path}: cannot be written ({error.strerror}); the scores are on "
                "stdout; make room or a directory that can be written, and ask again",
            ) from None


def _evaluate_texts(asked: EvaluateConfig, workdir: pathlib.Path) -> None:
    """Scores what a run of trainers.seq2seq says."""
    flagfiles = run_directory.flagfiles_of_texts(
        asked.weights.workdir, asked.decoding.ensemble
    )
    runs = [binding.read_or_exit(path, config.Seq2SeqConfig) for path in flagfiles]
    others = [_other(asked.against)] if asked.against else []
    for run in (*runs, *others):
        decoding_config.check_decodable(run.model, asked.decoding)
    vocabularies = vocabulary.load_copy(workdir / run_directory.VOCABULARY)
    own = runs[0].run.data_dir
    data_dir = locations.locate(asked.data_dir or own)
    facts = None
    if not asked.src_file:
        facts = manifest.read(data_dir)
        manifest.check_files(facts, data_dir, asked.split)
        vocabulary.check_same(vocabularies, facts, data_dir)
    for path in (asked.src_file, *asked.ref_file):
        if path and not pathlib.Path(path).is_file():
            raise exits.Refusal(exits.MISSING_INPUT, f"{path}: no such file")
    runtime.start()
    from trainers import evaluation, out_of_memory, scores

    scores.bleu_metric(asked.tokenize, lowercase=False)  # refused before the work
    if facts is not None:
        examples = evaluation.of_split(data_dir, facts, asked.split)
        data: dict[str, Any] = evaluation.measured_on(data_dir, facts)
    else:
        examples = _of_files(asked, vocabularies)
        data = evaluation.measured_on_files(str(asked.src_file), asked.ref_file)
    if asked.lowercase:
        examples = examples._replace(lowercase=True)
    with out_of_memory.decoding_refused(asked.decoding):
        result, hypotheses = _result(asked, runs, others, vocabularies, examples)
    if asked.baseline and facts is not None:
        result |= _baseline(facts, data_dir, vocabularies, examples)
    shown = [
        score_tables.samples(examples, hypotheses, asked.samples),
        score_tables.table(result),
    ]
    report = score_tables.Report("\n".join(shown), result | data)
    tell(report, workdir, _name(asked, report, own))


def _evaluate_vectors(asked: EvaluateConfig, workdir: pathlib.Path) -> None:
    """Does the same for a run of trainers.seq2vec."""
    _check_of_vectors(asked)
    path = run_directory.flagfile(workdir)
    run = binding.read_or_exit(path, seq2vec_config.Seq2VecConfig)
    runtime.start()
    from trainers import class_evaluation, retrieval_evaluation

    data_dir = locations.locate(asked.data_dir or run.run.data_dir)
    of_classes = run.head.head == "classes"
    evaluate = (class_evaluation if of_classes else retrieval_evaluation).evaluate
    report = evaluate(run, asked.weights, data_dir, asked.split, asked.samples)
    tell(report, workdir, _name(asked, report, run.run.data_dir))


def _name(asked: EvaluateConfig, report: score_tables.Report, own: str) -> str:
    """Returns what the files of a report are called after.

    The scores of several runs together are those of none of them.
    """
    from trainers import evaluation

    name = evaluation.name_of(
        report.result["split"],
        report.result["data"],
        asked=asked.data_dir,
        own=own,
        workdir=pathlib.Path(asked.weights.workdir),
    )
    return f"{name}_ensemble" if asked.decoding.ensemble else name


def _check_of_vectors(asked: EvaluateConfig) -> None:
    """Refuses what is asked of texts that a model says."""
    own = [name for name in knobs.chosen(asked) if name in _OF_TEXTS]
    given = own + knobs.chosen(asked.decoding)
    if given:
        raise exits.Refusal(
            exits.USAGE,
            f"--{given[0]}: is for a run that says texts, --workdir="
            f"{asked.weights.workdir} is one of trainers.seq2vec; leave it out",
        )


def _other(workdir: str) -> config.Seq2SeqConfig:
    path = run_directory.flagfile_of_texts(pathlib.Path(workdir), "--against")
    return binding.read_or_exit(path, config.Seq2SeqConfig)


def _of_files(
    asked: EvaluateConfig, vocabularies: vocabulary.Vocabularies
) -> "evaluation.Examples":
    from trainers import evaluation

    paths = [str(asked.src_file), *asked.ref_file]
    sources, *streams = [lines.of_file(pathlib.Path(path)) for path in paths]
    for path, stream in zip(asked.ref_file, streams, strict=True):
        if len(stream) != len(sources):
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{path}: has {len(stream)} lines, {asked.src_file} has {len(sources)}",
            )
    if not sources:
        raise exits.Refusal(exits.BAD_DATA, f"{asked.src_file}: has no lines")
    return evaluation.of_texts(
        _FILES,
        sources,
        [list(many) for many in zip(*streams, strict=True)],
        vocabularies,
        max_tokens=asked.decoding.max_source_tokens,
    )


def _result(
    asked: EvaluateConfig,
    runs: list[config.Seq2SeqConfig],
    others: list[config.Seq2SeqConfig],
    vocabularies: vocabulary.Vocabularies,
    examples: "evaluation.Examples",
) -> tuple[dict[str, Any], list[str]]:
    """Returns everything that is measured, and the hypotheses."""
    from trainers import comparison, evaluation, restoring, translation

    model, which = restoring.load_together(
        runs, asked.weights, asked.decoding.ensemble, vocabularies
    )
    translator = translation.Translator(model, vocabularies, asked.decoding)
    rivals = [_rival(asked, other) for other in others]  # refused before the work
    said = evaluation.translated(translator, examples.sources)
    hypotheses = [hypothesis.text for hypothesis in said]
    draws = comparison.num_draws(asked.bootstrap, len(hypotheses))
    result = {
        "split": examples.name,
        "examples": len(hypotheses),
        "checkpoints": which,
        **dataclasses.asdict(asked.decoding),
        **evaluation.losses(model, examples),
        **evaluation.of_hypotheses(
            hypotheses, examples, tokenize=asked.tokenize, draws=draws
        ),
        "by_length": evaluation.of_lengths(
            hypotheses, examples, vocabularies.src, tokenize=asked.tokenize
        ),
        "bootstrap": draws,
        "cut_sources": translator.num_cut,
        "cut_hypotheses": sum(not hypothesis.finished for hypothesis in said),
        "decoding_step_traces": translator.num_traces,
    }
    for rival, checkpoints in rivals:
        result["against"] = {
            "workdir": asked.against,
            "checkpoints": checkpoints,
            **_against(asked, rival, examples, hypotheses, draws),
        }
    return result, hypotheses


def _rival(
    asked: EvaluateConfig, other: config.Seq2SeqConfig
) -> tuple["translation.Translator", str]:
    """Returns what says the other run's hypotheses, and its checkpoints."""
    from trainers import restoring, translation

    weights = dataclasses.replace(asked.weights, workdir=str(asked.against))
    copied = pathlib.Path(weights.workdir) / run_directory.VOCABULARY
    vocabularies = vocabulary.load_copy(copied)
    model, which = restoring.load(other, weights, vocabularies)
    alone = dataclasses.replace(asked.decoding, ensemble=())
    return translation.Translator(model, vocabularies, alone), which


def _against(
    asked: EvaluateConfig,
    rival: "translation.Translator",
    examples: "evaluation.Examples",
    hypotheses: list[str],
    draws: int,
) -> dict[str, Any]:
    """Returns the scores of the other run and whether they differ by chance."""
    from trainers import comparison, evaluation

    said = evaluation.translated(rival, examples.sources)
    return comparison.against(
        hypotheses,
        [hypothesis.text for hypothesis in said],
        examples.references,
        lowercase=examples.lowercase,
        tokenize=asked.tokenize,
        draws=draws,
    )


def _baseline(
    facts: manifest.Manifest,
    data_dir: locations.Location,
    vocabularies: vocabulary.Vocabularies,
    examples: "evaluation.Examples",
) -> dict[str, float]:
    from pipeline import shard_damage
    from trainers import baselines, scores

    shards = facts.shard_paths(data_dir, "train")
    with shard_damage.reading_shards(shards):
        dictionary = baselines.Dictionary.learn(shards, vocabularies)
    found = scores.edits(
        [dictionary.translate(text) for text in examples.sources],
        examples.references,
        lowercase=examples.lowercase,
    )
    return {
        "baseline_exact_match": found.exact_match,
        "baseline_token_error_rate": found.token_error_rate,
    }


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, EvaluateConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
