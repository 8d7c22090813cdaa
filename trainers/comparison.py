"""How sure a score is, and whether one system is better than another.

Koehn 2004, https://aclanthology.org/W04-3250: sentences are drawn with replacement many
times, and the scores of the draws say how far the score depends on which sentences were
in the set. For BLEU, chrF and TER by sacreBLEU's own module; for exact match and token
error rate by the same rules, over the same sentences.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sacrebleu
from sacrebleu import significance

from trainers import scores

_SEED = 12345  # sacreBLEU's
_STATISTICS = 18  # numbers of a sentence, at most (chrF)
_FLOATS = 1 << 28  # sacreBLEU has all draws in memory: this is 1 GiB


def num_draws(asked: int, num_examples: int) -> int:
    """Returns how many draws fit in memory, at most as many as asked for.

    >>> num_draws(1000, 1000), num_draws(1000, 100_000)
    (1000, 149)
    """
    return min(asked, _FLOATS // (_STATISTICS * num_examples))


def _plain(stats: list[Any]) -> list[Any]:
    return [float(value) for value in stats]


class _Chrf(sacrebleu.CHRF):
    """Scores draws in Python's floats.

    sacreBLEU hands over numpy's float32 and gets a plain 0.0 back where a draw has
    nothing in common with its references; the mean of both kinds is a TypeError.
    """

    def _compute_score_from_stats(self, stats: list[Any]) -> Any:
        return super()._compute_score_from_stats(_plain(stats))


class _Ter(sacrebleu.TER):
    """Scores draws in Python's floats, for the same reason."""

    def _compute_score_from_stats(self, stats: list[Any]) -> Any:
        return super()._compute_score_from_stats(_plain(stats))


def metrics(*, lowercase: bool, tokenize: str) -> dict[str, Any]:
    """Returns sacreBLEU's metrics by the names of our figures."""
    return {
        "bleu": scores.bleu_metric(tokenize, lowercase=lowercase),
        "chrf": _Chrf(lowercase=lowercase),
        "ter": _Ter(case_sensitive=not lowercase),
    }


def intervals(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    lowercase: bool,
    tokenize: str,
    draws: int,
) -> dict[str, Any]:
    """Returns scores, signatures and half the width of their 95 % intervals.

    Args:
        hypotheses: One a source.
        references: For each source, one or more.
        lowercase: Whether case is ignored.
        tokenize: sacreBLEU's tokenizer for BLEU.
        draws: How often sentences are drawn; no intervals below 2.

    Returns:
        For each of bleu, chrf, ter: `x`, `x_signature` and `x_ci`; for exact_match and
        token_error_rate: `x` and `x_ci`.
    """
    found: dict[str, Any] = {}
    streams = scores.reference_streams(references)
    for name, metric in metrics(lowercase=lowercase, tokenize=tokenize).items():
        score = metric.corpus_score(list(hypotheses), streams, n_bootstrap=draws)
        found[name] = score.score
        found[f"{name}_signature"] = str(metric.get_signature())
        if draws > 1:
            found[f"{name}_ci"] = float(score._ci)
    edits = scores.edits(hypotheses, references, lowercase=lowercase)
    drawn = _drawn(edits, draws)
    for name in ("exact_match", "token_error_rate"):
        found[name] = getattr(edits, name)
        if draws > 1:
            found[f"{name}_ci"] = float(significance.estimate_ci(drawn[name])[1])
    return found


def against(
    hypotheses: Sequence[str],
    others: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    lowercase: bool,
    tokenize: str,
    draws: int,
) -> dict[str, dict[str, float]]:
    """Returns how another system compares: paired bootstrap, two-sided.

    Args:
        hypotheses: Of the system asked about, one a source.
        others: Of the one it is compared with.
        references: For each source, one or more.
        lowercase: Whether case is ignored.
        tokenize: sacreBLEU's tokenizer for BLEU.
        draws: How often sentences are drawn.

    Returns:
        For each score: `other`, `difference` (ours less theirs) and `p_value`, the
        chance of such a difference between systems that are equally good.
    """
    own = metrics(lowercase=lowercase, tokenize=tokenize)
    test = significance.PairedTest(
        [("other", list(others)), ("ours", list(hypotheses))],
        own,
        scores.reference_streams(references),
        test_type="bs",
        n_samples=draws,
    )
    results: dict[str, Any] = dict(test()[1])
    del results["System"]
    found = {
        name: _compared(ours.score, theirs.score, ours.p_value)
        for name, (theirs, ours) in zip(own, results.values(), strict=True)
    }
    return found | _edits_against(
        scores.edits(hypotheses, references, lowercase=lowercase),
        scores.edits(others, references, lowercase=lowercase),
        draws,
    )


def _edits_against(
    ours: scores.Edits, theirs: scores.Edits, draws: int
) -> dict[str, dict[str, float]]:
    one, other = _drawn(ours, draws), _drawn(theirs, draws)
    found = {}
    for name in ("exact_match", "token_error_rate"):
        difference = getattr(ours, name) - getattr(theirs, name)
        drawn = np.abs(one[name] - other[name])
        # As sacreBLEU does: how often chance alone makes as large a difference.
        above = np.count_nonzero(drawn - drawn.mean() > abs(difference))
        found[name] = _compared(
            getattr(ours, name), getattr(theirs, name), (above + 1) / (draws + 1)
        )
    return found


def _compared(ours: float, theirs: float, p_value: float) -> dict[str, float]:
    # sacreBLEU calls systems that never differ as different as can be.
    return {
        "other": float(theirs),
        "difference": float(ours - theirs),
        "p_value": float(p_value) if ours != theirs else 1.0,
    }


def _drawn(edits: scores.Edits, draws: int) -> Mapping[str, np.ndarray]:
    """Returns both scores of every draw, float64 [draws] each."""
    count = len(edits.distances)
    rng = np.random.default_rng(_SEED)
    rows = rng.choice(count, size=(draws, count), replace=True)
    lengths = np.maximum(edits.lengths[rows].sum(axis=1), 1)
    return {
        "exact_match": (edits.distances == 0)[rows].mean(axis=1),
        "token_error_rate": edits.distances[rows].sum(axis=1) / lengths,
    }
