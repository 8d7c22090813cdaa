"""ROUGE of summaries: Lin 2004, https://aclanthology.org/W04-1013, by rouge-score.

Of several references the one with the highest F counts, for each score apart. The
package's own tokenizer knows only the letters a to z; `words` is the same for English
and keeps the words of other scripts. No stemming.
"""

import importlib.metadata
import re
import statistics
from collections.abc import Callable, Sequence

from rouge_score import rouge_scorer, scoring

KINDS = ("rouge1", "rouge2", "rougeL")
_WORDS = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Returns the runs of letters and digits, in lower case.

    >>> words("It's Größe 4_2.")
    ['it', 's', 'größe', '4', '2']
    """
    return _WORDS.findall(text.lower())


class _Tokenizer:
    """A function as rouge-score wants it."""

    def __init__(self, tokenize: Callable[[str], list[str]]) -> None:
        """Takes the function."""
        self.tokenize = tokenize


def each(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    tokenize: Callable[[str], list[str]] = words,
) -> dict[str, list[scoring.Score]]:
    """Returns precision, recall and F of every hypothesis, 0 to 1, for each kind.

    Args:
        hypotheses: One a source.
        references: For each source, one or more.
        tokenize: Text to tokens.
    """
    scorer = rouge_scorer.RougeScorer(KINDS, tokenizer=_Tokenizer(tokenize))
    found = [
        scorer.score_multi(list(many), hypothesis)
        for hypothesis, many in zip(hypotheses, references, strict=True)
    ]
    return {kind: [row[kind] for row in found] for kind in KINDS}


def means(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float | str]:
    """Returns the mean F of each kind, 0 to 100, and how it was computed."""
    found = each(hypotheses, references)
    means = {
        kind: 100 * statistics.fmean(score.fmeasure for score in scores)
        for kind, scores in found.items()
    }
    version = importlib.metadata.version("rouge-score")
    signature = f"tok:words|case:lc|stem:no|nrefs:best F|version:{version}"
    return {**means, "rouge_signature": signature}
