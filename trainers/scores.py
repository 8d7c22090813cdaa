"""Scores of hypotheses against references, by the libraries that papers use.

BLEU and chrF come from sacreBLEU, with its signature. Exact match and token error rate
are for tasks with a right answer, such as pronunciations: tokens are what spaces
separate, and of several references the best one counts.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import sacrebleu
from rapidfuzz.distance import Levenshtein

from pipeline import exits


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


class Edits(NamedTuple):
    """From each hypothesis to its nearest reference.

    Attributes:
        distances: Insertions, deletions and substitutions of tokens, int64 [N].
        lengths: Tokens of those references, int64 [N].
    """

    distances: np.ndarray
    lengths: np.ndarray

    @property
    def exact_match(self) -> float:
        """Share of hypotheses equal to a reference, 0 to 1."""
        return float((self.distances == 0).mean())

    @property
    def token_error_rate(self) -> float:
        """Edits over the tokens of the references."""
        return float(self.distances.sum() / max(self.lengths.sum(), 1))


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
    streams = reference_streams(references)
    bleu = bleu_metric(tokenize, lowercase=lowercase)
    chrf = sacrebleu.CHRF(lowercase=lowercase)
    bleu_score = bleu.corpus_score(list(hypotheses), streams)
    chrf_score = chrf.corpus_score(list(hypotheses), streams)
    found = edits(hypotheses, references, lowercase=lowercase)
    return Scores(
        bleu=bleu_score.score,
        bleu_signature=str(bleu.get_signature()),
        chrf=chrf_score.score,
        chrf_signature=str(chrf.get_signature()),
        exact_match=found.exact_match,
        token_error_rate=found.token_error_rate,
    )


def bleu_metric(tokenize: str, *, lowercase: bool) -> sacrebleu.BLEU:
    """Returns sacreBLEU's BLEU.

    Raises:
        exits.Refusal: If the tokenizer wants what is not installed or cannot be had.
    """
    try:
        # Hypotheses of tokenized corpora end in " ." with every right.
        return sacrebleu.BLEU(lowercase=lowercase, tokenize=tokenize, force=True)
    except (RuntimeError, OSError) as error:
        raise exits.Refusal(
            exits.USAGE, f"--tokenize={tokenize}: {error}; 13a and char always work"
        ) from None


def edits(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, lowercase: bool
) -> Edits:
    """Returns the edits from each hypothesis to its nearest reference, in tokens."""
    distances = np.zeros(len(hypotheses), np.int64)
    lengths = np.zeros(len(hypotheses), np.int64)
    for row, (hypothesis, many) in enumerate(zip(hypotheses, references, strict=True)):
        said = _tokens(hypothesis, lowercase=lowercase)
        options = [_tokens(reference, lowercase=lowercase) for reference in many]
        each = [Levenshtein.distance(said, option) for option in options]
        nearest = min(range(len(many)), key=each.__getitem__)
        distances[row], lengths[row] = each[nearest], len(options[nearest])
    return Edits(distances, lengths)


def reference_streams(references: Sequence[Sequence[str]]) -> Any:
    """Returns references as sacreBLEU wants them: the first of all, the second..."""
    most = max(map(len, references))
    return [
        [many[index] if index < len(many) else None for many in references]
        for index in range(most)
    ]


def _tokens(text: str, *, lowercase: bool) -> list[str]:
    return (text.lower() if lowercase else text).split()
