"""Scores a trained run on a split of its data directory.

    python -m trainers.evaluate --workdir=runs/quickstart/work --split=test

The last line of stdout is one JSON object, also in <workdir>/evaluate_<split>.json.
"""

import dataclasses
import functools
import json
import math
import pathlib
import sys
from typing import Any

from flags import binding
from pipeline import config as pipeline_config
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
from trainers import config, run_directory, seq2vec_config

_BATCH_TOKENS = 4096
_NUM_BUCKETS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What to score."""

    weights: config.WeightsConfig
    decoding: config.DecodingConfig
    data_dir: str | None = knobs.knob(None, "Another data directory than the run's.")
    split: str = knobs.knob("valid", "Which examples.", choices=("valid", "test"))
    tokenize: str = knobs.knob("13a", "sacreBLEU's tokenizer.")
    samples: int = knobs.knob(10, "Examples shown with hypothesis and reference.")
    baseline: bool = knobs.knob(
        False, "Shows what a token-by-token dictionary scores beside it."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for a count that cannot be."""
        if self.samples < 0:
            raise ValueError(f"--samples must be at least 0, got {self.samples}")


def main(asked: EvaluateConfig) -> None:
    """Scores, prints and writes the result."""
    workdir = pathlib.Path(asked.weights.workdir)
    if run_directory.is_of_vectors(workdir):
        _evaluate_vectors(asked, workdir)
        return
    flags = f"--flagfile={run_directory.flagfile(workdir)}"
    run = binding.parse_or_exit(["", flags], config.Seq2SeqConfig, "")
    config.check_decodable(run.model, asked.decoding)
    data_dir = locations.locate(asked.data_dir or run.run.data_dir)
    facts = manifest.read(data_dir)
    manifest.check_files(facts, data_dir, asked.split)
    vocabularies = vocabulary.load_copy(workdir / run_directory.VOCABULARY)
    _check_same_vocabulary(vocabularies, facts, data_dir)
    runtime.start()
    result = _scores(asked, run, data_dir, facts, vocabularies)
    text = json.dumps(result)
    files.write_whole(workdir / f"evaluate_{asked.split}.json", text + "\n")
    print(text)


def _evaluate_vectors(asked: EvaluateConfig, workdir: pathlib.Path) -> None:
    """Does the same for a run of trainers.seq2vec."""
    flags = f"--flagfile={run_directory.flagfile(workdir)}"
    run = binding.parse_or_exit(["", flags], seq2vec_config.Seq2VecConfig, "")
    runtime.start()
    from trainers import class_evaluation, retrieval_evaluation

    data_dir = locations.locate(asked.data_dir or run.run.data_dir)
    of_classes = run.head.head == "classes"
    evaluate = (class_evaluation if of_classes else retrieval_evaluation).evaluate
    shown, result = evaluate(run, asked.weights, data_dir, asked.split, asked.samples)
    text = json.dumps(result)
    files.write_whole(workdir / f"evaluate_{asked.split}.json", text + "\n")
    print(shown)
    print(text)


def _check_same_vocabulary(
    vocabularies: vocabulary.Vocabularies,
    facts: manifest.Manifest,
    data_dir: locations.Location,
) -> None:
    there = tuple(entry.sha256 for entry in facts.pair_vocabularies())
    if there != tuple(entry.sha256 for entry in vocabularies.entries):
        raise exits.Refusal(
            exits.MISMATCH,
            f"--data_dir={data_dir}: was made with another vocabulary than the run was "
            "trained with",
        )


def _scores(
    asked: EvaluateConfig,
    run: config.Seq2SeqConfig,
    data_dir: locations.Location,
    facts: manifest.Manifest,
    vocabularies: vocabulary.Vocabularies,
) -> dict[str, Any]:
    from pipeline import input_pipeline, records
    from trainers import baselines, restoring, scores, train_step, translation

    model, which = restoring.load(run, asked.weights, vocabularies)
    longest = int(facts.split(asked.split).joint_histogram()[:, :2].max()) + 1
    batch = pipeline_config.BatchConfig(
        tokens_per_batch=max(_BATCH_TOKENS, longest), num_buckets=_NUM_BUCKETS
    )
    source = input_pipeline.open_split(data_dir, asked.split, batch, seed=0)
    step = train_step.EvaluationStep(model)
    losses = step(input_pipeline.epoch(source))
    with input_pipeline.reading(source):
        texts = records.read_texts([files[0] for files in source.shards])
    sources = [text for text, _ in texts]
    references = [many for _, many in texts]
    translator = translation.Translator(model, vocabularies, asked.decoding)
    with progress.Progress("translating", unit="lines", total=len(sources)) as bar:
        hypotheses = [
            hypothesis.text
            for hypothesis in translator.translate(sources, on_batch=bar.update)
        ]
    lowercase = bool(facts.settings["lowercase"])
    found = scores.of(
        hypotheses, references, lowercase=lowercase, tokenize=asked.tokenize
    )
    result = {
        "split": asked.split,
        "examples": len(sources),
        "checkpoints": which,
        **dataclasses.asdict(asked.decoding),
        **losses,
        "perplexity": math.exp(losses["loss"]),
        **dataclasses.asdict(found),
        "evaluation_step_traces": step.num_traces,
        "decoding_step_traces": translator.num_traces,
    }
    print(_samples(sources, hypotheses, references, asked.samples))
    if asked.baseline:
        shards = facts.shard_paths(data_dir, "train")
        dictionary = baselines.Dictionary.learn(shards, vocabularies)
        guesses = [dictionary.translate(text) for text in sources]
        beside = scores.of(guesses, references, lowercase=lowercase)
        result["baseline_exact_match"] = beside.exact_match
        result["baseline_token_error_rate"] = beside.token_error_rate
    print(_table(result))
    return result


def _samples(
    sources: list[str], hypotheses: list[str], references: list[list[str]], count: int
) -> str:
    """Returns some examples, spread over the split."""
    stride = max(len(sources) // max(count, 1), 1)
    lines = []
    for index in range(0, stride * count, stride)[: len(sources)]:
        right = any(
            hypotheses[index].split() == reference.split()
            for reference in references[index]
        )
        lines += [
            f"  source      {sources[index]}",
            f"  hypothesis  {hypotheses[index]}{'  (right)' if right else ''}",
            f"  reference   {'  |  '.join(references[index])}",
            "",
        ]
    return "\n".join(lines)


def _table(result: dict[str, Any]) -> str:
    """Returns the scores for people; the JSON after it is for programs."""
    lines = [
        f"{result['split']}, {result['examples']:,} examples, {result['checkpoints']}"
    ]
    plain = ("loss", "perplexity", "token_accuracy", "bleu", "chrf")
    lines += [f"  {name:18} {result[name]:8.4f}" for name in plain]
    for name in ("exact_match", "token_error_rate"):
        beside = result.get(f"baseline_{name}")
        tail = f"   (token by token: {beside:.4f})" if beside is not None else ""
        lines.append(f"  {name:18} {result[name]:8.4f}{tail}")
    return "\n".join(lines)


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, EvaluateConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
