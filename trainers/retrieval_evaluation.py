"""Scores of vectors of pairs on a split: how often they find the other side."""

import pathlib
from typing import Any

from pipeline import (
    data_sources,
    examples,
    input_pipeline,
    locations,
    manifest,
    vocabulary,
)
from trainers import (
    decoding_config,
    evaluation,
    restoring,
    retrieval,
    run_directory,
    score_tables,
    seq2vec_config,
)
from trainers.models import build_vectors


def evaluate(
    run: seq2vec_config.Seq2VecConfig,
    weights: decoding_config.WeightsConfig,
    data_dir: locations.Location,
    split: str,
    num_samples: int,
) -> score_tables.Report:
    """Scores a run of --head=embedding.

    Args:
        run: Its config.
        weights: Its working directory, and which of its checkpoints.
        data_dir: With the run's vocabulary.
        split: Which examples.
        num_samples: Not looked at: there is nothing said that could be shown.

    Raises:
        exits.Refusal: If the data is of another vocabulary.
    """
    del num_samples
    facts = manifest.read(data_dir)
    folder = pathlib.Path(weights.workdir) / run_directory.VOCABULARY
    vocabularies = vocabulary.load_copy(folder)
    vocabulary.check_same(vocabularies, facts, data_dir)
    source = data_sources.open_whole(data_dir, split, kind=examples.TEXTS)
    model = build_vectors.pairs(run, vocabularies)
    which = restoring.restore(model, weights)
    step = retrieval.RetrievalStep(model)
    count = facts.split(split).num_records
    result: dict[str, Any] = {
        "split": split,
        **evaluation.measured_on(data_dir, facts),
        "examples": count,
        "checkpoints": which,
        **step.measure(input_pipeline.epoch(source)),
        "chance": 1 / count,
        "evaluation_step_traces": step.num_traces,
    }
    return score_tables.Report(_table(result), result)


def _table(result: dict[str, Any]) -> str:
    """Returns the scores for people; the JSON after it is for programs."""
    lines = [
        f"{result['split']}, {result['examples']:,} pairs, {result['checkpoints']}"
    ]
    told = {
        "retrieval_accuracy": "source to target, accuracy@1",
        "retrieval_accuracy_back": "target to source, accuracy@1",
        "chance": "the same by chance",
        "accuracy": "source to target, within batches",
        "loss": "loss, within batches",
    }
    lines += [f"  {text:33}{result[name]:8.4f}" for name, text in told.items()]
    return "\n".join(lines)
