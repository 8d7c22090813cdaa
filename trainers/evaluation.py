"""What is measured of a trained model: losses, scores, and where they come from."""

import dataclasses
import itertools
import math
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from pipeline import (
    batching,
    data_sources,
    files,
    input_pipeline,
    locations,
    progress,
    records,
    shard_damage,
    vocabulary,
)
from pipeline import manifest as manifest_lib
from trainers import (
    checkpoints,
    comparison,
    evaluation_step,
    rouge,
    run_directory,
    scores,
    translation,
)

_LENGTHS = (8, 16, 32, 64, 128, 256)  # upper bounds of the length table, in tokens
_MOST_NATS = math.log(sys.float_info.max)

Losses = Callable[[evaluation_step.EvaluationStep], dict[str, float]]


class Examples(NamedTuple):
    """What a model is scored on.

    Attributes:
        name: In a word or two.
        sources: One line each.
        references: For each source, one or more.
        losses: Computes loss and token_accuracy on them.
        lowercase: Whether scores ignore case, as they do where the model says none.
    """

    name: str
    sources: list[str]
    references: list[list[str]]
    losses: Losses
    lowercase: bool


def of_split(
    data_dir: locations.Location, facts: manifest_lib.Manifest, split: str
) -> Examples:
    """Returns the examples of a split of a data directory.

    Raises:
        exits.Refusal: If a shard is damaged.
    """
    source = data_sources.open_whole(data_dir, split)
    words = vocabulary.load(data_dir, facts.pair_vocabularies()).tgt
    with shard_damage.reading(source):
        texts = records.read_texts([paths[0] for paths in source.shards])
    return Examples(
        name=split,
        sources=[text for text, _ in texts],
        references=[many for _, many in texts],
        losses=lambda step: step(input_pipeline.epoch(source)),
        lowercase=words.has_no_case,
    )


def of_texts(
    name: str,
    sources: list[str],
    references: list[list[str]],
    vocabularies: vocabulary.Vocabularies,
    *,
    max_tokens: int,
) -> Examples:
    """Returns examples made of texts; their loss is that of the first references.

    Args:
        name: What they are called.
        sources: One line each.
        references: For each source, one or more.
        vocabularies: Of the run.
        max_tokens: Longer texts are cut for the loss.
    """

    def batches() -> Iterator[batching.Batch]:
        src = [row[:max_tokens] for row in vocabularies.src.encode(sources)]
        first = [many[0] for many in references]
        tgt = [row[:max_tokens] for row in vocabularies.tgt.encode(first)]
        lengths = {
            row: max(len(src[row]), len(tgt[row])) + 1 for row in range(len(src))
        }
        for rows in translation.by_length(lengths, 1):
            yield batching.Batch(
                src_ids=translation.padded(
                    [[*src[row], vocabulary.EOS_ID] for row in rows]
                ),
                tgt_in_ids=translation.padded(
                    [[vocabulary.BOS_ID, *tgt[row]] for row in rows]
                ),
                tgt_out_ids=translation.padded(
                    [[*tgt[row], vocabulary.EOS_ID] for row in rows]
                ),
            )

    return Examples(
        name,
        sources,
        references,
        losses=lambda step: step(batches()),
        lowercase=vocabularies.tgt.has_no_case,
    )


def measured_on(
    data_dir: locations.Location, facts: manifest_lib.Manifest
) -> dict[str, str]:
    """Returns what a result says of the data that it was measured on."""
    return {"data_dir": str(data_dir), "data": manifest_lib.identity(facts)}


def measured_on_files(src_file: str, ref_files: Sequence[str]) -> dict[str, Any]:
    """Returns the same for texts of files; their hashes say what the data is."""
    hashes = [files.sha256(pathlib.Path(path)) for path in (src_file, *ref_files)]
    return {
        "src_file": src_file,
        "ref_file": list(ref_files),
        "data": files.sha256_text("\n".join(hashes)),
    }


def name_of(
    split: str, data: str, *, asked: str | None, own: str, workdir: pathlib.Path
) -> str:
    """Returns what the files of a result are called after: its split.

    Scores on other data than the run's are not its own, and do not take their place:
    the name of that data directory stands behind the split.

    Args:
        split: Which was scored.
        data: Its identity.
        asked: The data directory that was named for it, None for the run's.
        own: That of the run's flags.
        workdir: Of the run.
    """
    if asked is None or data == _trained_on(workdir):
        return split
    place, of_run = (_absolute(name) for name in (asked, own))
    return split if str(place) == str(of_run) else f"{split}_{place.name}"


def _absolute(name: str) -> locations.Location:
    place = locations.locate(name)
    return place.resolve() if isinstance(place, pathlib.Path) else place


def _trained_on(workdir: pathlib.Path) -> str | None:
    """Returns the identity of a run's data, wherever it is; None if it is not known."""
    for folder in (run_directory.CHECKPOINTS, run_directory.BEST):
        for step in checkpoints.steps(workdir / folder)[-1:]:
            try:
                prefix = checkpoints.path_of(workdir / folder, step)
                state = checkpoints.read_state(prefix)
            except checkpoints.DamagedError:
                continue
            return str(state["facts"]["data"])
    return None


def losses(model: Any, examples: Examples) -> dict[str, Any]:
    """Returns loss, perplexity and token accuracy; None each for an ensemble.

    A loss of more than 709 nats has a perplexity of None: no float is that large.
    """
    if not hasattr(model, "losses"):
        return dict.fromkeys(("loss", "perplexity", "token_accuracy"))
    step = evaluation_step.EvaluationStep(model)
    found = examples.losses(step)
    return {
        **found,
        "perplexity": None if found["loss"] > _MOST_NATS else math.exp(found["loss"]),
        "evaluation_step_traces": step.num_traces,
    }


def translated(
    translator: translation.Translator, sources: Sequence[str]
) -> list[translation.Hypothesis]:
    """Returns the best hypotheses, with progress."""
    with progress.Progress("translating", unit="lines", total=len(sources)) as bar:
        return translator.translate(sources, on_batch=bar.update)


def of_hypotheses(
    hypotheses: Sequence[str], examples: Examples, *, tokenize: str, draws: int
) -> dict[str, Any]:
    """Returns the scores of hypotheses; see `comparison.intervals` and `rouge`."""
    return {
        **comparison.intervals(
            hypotheses,
            examples.references,
            lowercase=examples.lowercase,
            tokenize=tokenize,
            draws=draws,
        ),
        **rouge.means(hypotheses, examples.references),
    }


def of_lengths(
    hypotheses: Sequence[str],
    examples: Examples,
    side: vocabulary.Vocabulary,
    *,
    tokenize: str,
) -> list[dict[str, Any]]:
    """Returns scores for sources of similar length, the shortest first.

    Args:
        hypotheses: One a source.
        examples: What they are scored on.
        side: The source's vocabulary: lengths are in its subwords.
        tokenize: sacreBLEU's tokenizer for BLEU.
    """
    lengths = [len(row) for row in side.encode(examples.sources)]
    table = []
    for below, highest in itertools.pairwise((-1, *_LENGTHS, sys.maxsize)):
        rows = [row for row, length in enumerate(lengths) if below < length <= highest]
        if rows:
            found = scores.of(
                [hypotheses[row] for row in rows],
                [examples.references[row] for row in rows],
                lowercase=examples.lowercase,
                tokenize=tokenize,
            )
            named = dataclasses.asdict(found)
            table.append(
                {
                    "src_tokens_from": below + 1,
                    "src_tokens_to": max(lengths[row] for row in rows),
                    "examples": len(rows),
                    **{
                        name: named[name]
                        for name in ("bleu", "chrf", "exact_match", "token_error_rate")
                    },
                }
            )
    return table
