"""Scores as people read them: some examples, a table, a comparison."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from trainers import evaluation


class Report(NamedTuple):
    """What is found.

    Attributes:
        shown: For people.
        result: For programs.
        write_more: Writes what there is beside the result; takes the name that its
            files have, such as `valid`.
    """

    shown: str
    result: dict[str, Any]
    write_more: Callable[[str], None] | None = None


def samples(examples: "evaluation.Examples", hypotheses: list[str], count: int) -> str:
    """Returns some examples, spread over all."""
    stride = max(len(hypotheses) // max(count, 1), 1)
    lines = []
    for index in range(0, stride * count, stride)[: len(hypotheses)]:
        references = examples.references[index]
        said, *right_ones = [
            (text.lower() if examples.lowercase else text).split()
            for text in (hypotheses[index], *references)
        ]
        tail = "  (right)" if said in right_ones else ""
        lines += [
            f"  source      {examples.sources[index]}",
            f"  hypothesis  {hypotheses[index]}{tail}",
            f"  reference   {'  |  '.join(references)}",
            "",
        ]
    return "\n".join(lines)


def table(result: dict[str, Any]) -> str:
    """Returns the scores for people; the JSON after it is for programs."""
    lines = [
        f"{result['split']}, {result['examples']:,} examples, {result['checkpoints']}"
    ]
    names = (
        *("loss", "perplexity", "token_accuracy", "bleu", "chrf", "ter"),
        *("rouge1", "rouge2", "rougeL", "exact_match", "token_error_rate"),
    )
    for name in names:
        if result[name] is None:  # an ensemble's, or too large
            continue
        tail = ""
        if f"{name}_ci" in result:
            tail += f" ± {result[f'{name}_ci']:.4f}"
        if f"baseline_{name}" in result:
            tail += f"   (token by token: {result[f'baseline_{name}']:.4f})"
        lines.append(f"  {name:18} {result[name]:8.4f}{tail}")
    lines += [
        f"  {name:18} {result[f'{name}_signature']}"
        for name in ("bleu", "chrf", "ter", "rouge")
    ]
    if result["cut_hypotheses"] or result["cut_sources"]:
        lines.append(
            f"  {result['cut_hypotheses']} hypotheses were cut at the length limit, "
            f"{result['cut_sources']} sources were too long"
        )
    lines += ["", "  source tokens  examples    bleu    chrf   exact   token errors"]
    lines += [
        f"  {row['src_tokens_from']:5} to {row['src_tokens_to']:4}{row['examples']:10,}"
        f"{row['bleu']:8.2f}{row['chrf']:8.2f}{row['exact_match']:8.4f}"
        f"{row['token_error_rate']:15.4f}"
        for row in result["by_length"]
    ]
    if "against" in result:
        lines += ["", *_compared(result["against"])]
    return "\n".join(lines)


def _compared(against: dict[str, Any]) -> list[str]:
    """Returns the lines of the comparison with another run."""
    return [
        f"  against {against['workdir']}, {against['checkpoints']}",
        f"  {'':18}   theirs   difference   p, paired bootstrap",
        *(
            f"  {name:18} {entry['other']:8.4f}{entry['difference']:+13.4f}"
            f"{entry['p_value']:12.4f}"
            for name, entry in against.items()
            if isinstance(entry, dict)
        ),
    ]
