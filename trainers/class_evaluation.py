"""Scores of a classifier on a split, beside baselines; its confusions in a picture."""

import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline import (
    data_sources,
    exits,
    files,
    input_pipeline,
    locations,
    manifest,
    progress,
    records,
    shard_damage,
    vocabulary,
)
from trainers import (
    class_baselines,
    classification,
    confusion_pictures,
    decoding_config,
    evaluation,
    prediction,
    run_directory,
    score_tables,
    seq2vec_config,
)

_BATCH_RECORDS = 8192


def evaluate(
    run: seq2vec_config.Seq2VecConfig,
    weights: decoding_config.WeightsConfig,
    data_dir: locations.Location,
    split: str,
    num_samples: int,
) -> score_tables.Report:
    """Scores a run; its report writes confusions as JSON and PNG into its directory.

    Args:
        run: Its config.
        weights: Its working directory, and which of its checkpoints.
        data_dir: With the run's vocabulary and labels.
        split: Which examples.
        num_samples: Texts put into a wrong class that are shown, at most.

    Raises:
        exits.Refusal: If the data is of another vocabulary or other labels.
    """
    workdir = pathlib.Path(weights.workdir)
    facts = manifest.read(data_dir)
    _check_same(facts, workdir, data_dir)
    source = data_sources.open_whole(data_dir, split)
    model, words, names, which = prediction.load(run, weights)
    step = classification.ClassificationStep(model, len(names))
    outcome = step(input_pipeline.epoch(source))
    result = {
        "split": split,
        **evaluation.measured_on(data_dir, facts),
        "examples": int(outcome.confusions.sum()),
        "checkpoints": which,
        **outcome.metrics(),
        **_baselines(facts, data_dir, split, words),
        "evaluation_step_traces": step.num_traces,
    }
    wrong = _wrong(prediction.Predictor(model, words), source, names, num_samples)
    return score_tables.Report(
        "\n".join([*wrong, _table(result)]),
        result,
        functools.partial(_write_confusions, outcome, names, workdir, split),
    )


def _check_same(
    facts: manifest.Manifest, workdir: pathlib.Path, data_dir: locations.Location
) -> None:
    """Refuses data of other subwords or labels than the run's."""
    (entry,) = vocabulary.copied_entries(workdir / run_directory.VOCABULARY)
    of_run = (entry.sha256, run_directory.labels(workdir))
    if (facts.src_vocabulary.sha256, facts.classes()) != of_run:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--data_dir={data_dir}: was made with another vocabulary or other labels "
            "than the run was trained with",
        )


def _baselines(
    facts: manifest.Manifest,
    data_dir: locations.Location,
    split: str,
    words: vocabulary.Vocabulary,
) -> dict[str, float | None]:
    """Returns what the baselines score on the same texts, None where they cannot."""
    train_texts, train_labels = _texts(facts, data_dir, "train", words)
    texts, labels = _texts(facts, data_dir, split, words)
    count = len(facts.label_names)
    majority = class_baselines.majority(train_labels, labels, count)
    linear = class_baselines.linear(train_texts, train_labels, texts, labels, count)
    if linear is None and not class_baselines.has_scikit_learn():
        progress.logger.warning(
            "no n-gram baseline: scikit-learn is not installed (make setup-dev)"
        )
    return {
        **{f"majority_{name}": value for name, value in majority.items()},
        **{f"linear_{name}": (linear or {}).get(name) for name in majority},
    }


def _texts(
    facts: manifest.Manifest,
    data_dir: locations.Location,
    split: str,
    words: vocabulary.Vocabulary,
) -> tuple[list[str], np.ndarray]:
    """Returns the texts of a split, as their subwords say them, and labels, int [N].

    Training texts are kept as subwords only, and both sides must look the same.

    Raises:
        exits.Refusal: If a shard is damaged.
    """
    texts: list[str] = []
    shards = facts.shard_paths(data_dir, split)
    with shard_damage.reading_shards(shards):
        for shard in shards:
            for src, _, _ in records.read_ids(shard, _BATCH_RECORDS):
                texts += words.decode(src.to_list())
        labels = np.concatenate([records.read_label_ids(shard) for shard in shards])
    return texts, labels


def _write_confusions(
    outcome: classification.Outcome,
    names: Sequence[str],
    workdir: pathlib.Path,
    split: str,
    name: str,
) -> None:
    """Writes confusions as numbers and as a picture; `name` is that of the files."""
    counts = outcome.confusions
    content = {"split": split, "labels": names, "confusions": counts.tolist()}
    text = json.dumps(content, ensure_ascii=False) + "\n"
    files.write_whole(workdir / f"confusions_{name}.json", text)
    picture = workdir / f"confusions_{name}.png"
    title = f"{name}: accuracy {outcome.accuracy:.4f}, macro-F1 {outcome.macro_f1:.4f}"
    confusion_pictures.draw(counts, names, picture, title)


def _wrong(
    predictor: prediction.Predictor,
    source: data_sources.Source,
    names: Sequence[str],
    count: int,
) -> list[str]:
    """Returns some texts that are put into a wrong class, as lines."""
    if not count:
        return []
    shards = [paths[0] for paths in source.shards]
    with shard_damage.reading(source):
        texts = [text for text, _ in records.read_texts(shards)]
        labels = np.concatenate([records.read_label_ids(shard) for shard in shards])
    said = predictor(texts).probabilities
    lines = []
    for number in np.flatnonzero(said.argmax(axis=1) != labels)[:count]:
        guess = int(said[number].argmax())
        lines += [
            f"  text   {texts[number]}",
            f"  label  {names[labels[number]]}, said {names[guess]} "
            f"({said[number, guess]:.2f})",
            "",
        ]
    return lines


def _table(result: dict[str, Any]) -> str:
    """Returns the scores for people; the JSON after it is for programs."""
    lines = [
        f"{result['split']}, {result['examples']:,} examples, {result['checkpoints']}",
        "              model   majority   n-grams",
    ]
    for name in ("accuracy", "macro_f1"):
        linear = result[f"linear_{name}"]
        beside = f"{linear:10.4f}" if linear is not None else "         -"
        majority = result[f"majority_{name}"]
        lines.append(f"  {name:9}{result[name]:8.4f}{majority:11.4f}{beside}")
    return "\n".join([*lines, f"  {'loss':9}{result['loss']:8.4f}"])
