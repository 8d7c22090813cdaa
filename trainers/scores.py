"""Scores of hypotheses against references, by the libraries that papers use.

BLEU and chrF come from sacreBLEU, with its signature. Exact match and token error rate
are for tasks with a right answer, such as pronunciations: tokens are what spaces
separate, and of several references the best one counts.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import sacrebleu
from rapidfuzz.distance import Levenshtein


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of a whole set.

    Attributes:
        bleu: sacreBLEU's BLEU, 0 to 100.
        bleu_signature: How it was computed.
        chrf: sacreBLEU's chrF2, 0 to 100.
        chrf_signature: How it was computed.
        exact_match: Share of hypotheses equal to a reference, 0 to 1.
        token_error_rate: Insertions, deletions and substitutions to the nearest
            reference, over the tokens of those references.
    """

    bleu: float
    bleu_signature: str
    chrf: float
    chrf_signature: str
    exact_match: float
    token_error_rate: float


def of(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    lowercase: bool,
    tokenize: str = "13a",
) -> Scores:
    """Returns the scores of hypotheses, each with its own references, at least one.

    Args:
        hypotheses: One a source.
        references: For each source, one or more.
        lowercase: Whether case is ignored, in every score.
        tokenize: sacreBLEU's tokenizer for BLEU.
    """
    streams = _streams(references)
    bleu = sacrebleu.BLEU(lowercase=lowercase, tokenize=tokenize)
    chrf = sacrebleu.CHRF(lowercase=lowercase)
    bleu_score = bleu.corpus_score(list(hypotheses), streams)
    chrf_score = chrf.corpus_score(list(hypotheses), streams)
    exact = edits = length = 0
    for hypothesis, many in zip(hypotheses, references, strict=True):
        said = _tokens(hypothesis, lowercase=lowercase)
        options = [_tokens(reference, lowercase=lowercase) for reference in many]
        distances = [Levenshtein.distance(said, option) for option in options]
        nearest = min(range(len(many)), key=distances.__getitem__)
        exact += distances[nearest] == 0
        edits += distances[nearest]
        length += len(options[nearest])
    return Scores(
        bleu=bleu_score.score,
        bleu_signature=str(bleu.get_signature()),
        chrf=chrf_score.score,
        chrf_signature=str(chrf.get_signature()),
        exact_match=exact / len(hypotheses),
        token_error_rate=edits / max(length, 1),
    )


def _tokens(text: str, *, lowercase: bool) -> list[str]:
    return (text.lower() if lowercase else text).split()


def _streams(references: Sequence[Sequence[str]]) -> Any:
    """Returns references as sacreBLEU wants them: the first of all, the second..."""
    most = max(map(len, references))
    return [
        [many[index] if index < len(many) else None for many in references]
        for index in range(most)
    ]
