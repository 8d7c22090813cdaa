"""Segmentations of texts drawn at random, the same for a seed in every process.

SentencePiece draws too, but mixes salt of the process into every seed. What it does not
draw is taken from it: the pieces and their scores, and the normalised text.

    ▁the▁cat    units: ▁the, ▁cat
    ▁cat        drawn: ▁cat, or ▁c at, or ▁ca t, ...

No piece crosses a U+2581 unless the vocabulary has one with it after its first
character, so the units of a text are drawn one by one; else the whole text is one.
"""

import bisect
import functools
import itertools
import math
import random
import re
from collections.abc import Callable, Iterable, Sequence

from pipeline import model_file

_UNKNOWN_PENALTY = 10.0  # an unknown character's score is so far below the least
_KEPT_UNITS = 20_000  # of texts in words: most of what comes again
_LONGEST_KEPT = 64  # characters; so what is kept has a bound

_NO_PIECE = -math.inf

Choose = Callable[[], float]  # a number in [0, 1)


# What may follow a place of a unit: cumulative probabilities without the last, 1; where
# each piece ends; its ids. Tuples of atoms, because Python's garbage collector forgets
# them: of lists a unit took three times as long.
_Followers = tuple[tuple[float, ...], tuple[int, ...], tuple[tuple[int, ...], ...]]


def sampler(model: bytes) -> "Unigram | Bpe | None":
    """Returns what draws from a serialised model; None if there is one segmentation."""
    kind = model_file.kind(model)
    pieces = model_file.pieces(model)
    if kind == model_file.UNIGRAM:
        return Unigram(pieces)
    return Bpe(pieces) if kind == model_file.BPE else None


class _Sampler:
    """What both kinds of models share: units, ids and unknown characters."""

    def __init__(self, pieces: Sequence[model_file.Piece]) -> None:
        """Takes the pieces by id."""
        self._ids = {
            piece.text: (index,)
            for index, piece in enumerate(pieces)
            if piece.kind in (model_file.NORMAL, model_file.USER_DEFINED)
        }
        kinds = [piece.kind for piece in pieces]
        self._unknown = kinds.index(model_file.UNKNOWN)
        self._bytes = {
            int(piece.text[1:-1], 16): index  # <0x41>
            for index, piece in enumerate(pieces)
            if piece.kind == model_file.BYTE
        }
        crossing = any(
            "▁" in piece.text[1:]
            for piece in pieces
            if piece.text in self._ids or piece.kind == model_file.UNUSED
        )
        unit = "(?s:.+)" if crossing else "▁[^▁]*|[^▁]+"
        self._units = re.compile(unit).findall
        symbols = [p.text for p in pieces if p.kind == model_file.USER_DEFINED]
        longest_first = sorted(symbols, key=len, reverse=True)
        self._split = re.compile(f"({'|'.join(map(re.escape, longest_first))})").split
        self._has_symbols = bool(symbols)

    def draw(self, texts: Iterable[str], *, alpha: float, seed: int) -> list[list[int]]:
        """Returns the ids of a segmentation of each text.

        Args:
            texts: Normalised by the model.
            alpha: See the classes.
            seed: The same texts and seed give the same ids.
        """
        choose = random.Random(seed).random
        rows = []
        for text in texts:
            ids: list[int] = []
            if self._has_symbols:
                for place, part in enumerate(self._split(text)):
                    if place % 2:
                        ids += self._ids[part]
                    else:
                        self._extend(ids, self._units(part), alpha, choose)
            else:
                self._extend(ids, self._units(text), alpha, choose)
            if self._unknown in ids:
                ids = self._without_repeated_unknowns(ids)
            rows.append(ids)
        return rows

    def _extend(
        self, ids: list[int], units: list[str], alpha: float, choose: Choose
    ) -> None:
        """Adds the ids of a segmentation of each unit."""
        raise NotImplementedError

    def _ids_of_unknown(self, text: str) -> tuple[int, ...]:
        if not self._bytes:
            return (self._unknown,)
        return tuple(self._bytes[byte] for byte in text.encode())

    def _without_repeated_unknowns(self, ids: list[int]) -> list[int]:
        """Returns each run of unknown ids as one, as the library has it."""
        return [
            index
            for before, index in zip([None, *ids], ids, strict=False)
            if index != self._unknown or before != index
        ]


class Unigram(_Sampler):
    """Any segmentation, with its probability to the power of `alpha`.

    Kudo 2018, section 3, https://arxiv.org/abs/1804.10959, over all segmentations
    (l is infinite). The weights of all ends of a unit are summed once; then
    segmentations are drawn from the beginning on.
    """

    def __init__(self, pieces: Sequence[model_file.Piece]) -> None:
        """Takes the pieces by id."""
        super().__init__(pieces)
        normal = [p.score for p in pieces if p.kind == model_file.NORMAL]
        self._unknown_score = min(normal, default=0.0) - _UNKNOWN_PENALTY
        # By text, what is a piece and what only begins one: that has no ids.
        self._beginnings: dict[str, tuple[float, tuple[int, ...]]] = {
            text[:size]: (_NO_PIECE, ())
            for text in self._ids
            for size in range(1, len(text))
        }
        for piece in pieces:
            if piece.text in self._ids:
                self._beginnings[piece.text] = piece.score, self._ids[piece.text]
        self._kept = functools.lru_cache(_KEPT_UNITS)(self._choices)

    def _extend(
        self, ids: list[int], units: list[str], alpha: float, choose: Choose
    ) -> None:
        for unit in units:
            short = len(unit) <= _LONGEST_KEPT
            choices = (self._kept if short else self._choices)(unit, alpha)
            place, end = 0, len(choices)
            while place < end:
                cumulative, ends, own = choices[place]
                drawn = bisect.bisect(cumulative, choose())
                ids += own[drawn]
                place = ends[drawn]

    def _choices(self, unit: str, alpha: float) -> tuple[_Followers, ...]:
        """Returns what may follow before each character of a unit."""
        size = len(unit)
        sums = [0.0] * (size + 1)  # logarithms, from each character to the end
        choices = []
        for begin in reversed(range(size)):
            ends, own, heights = [], [], []
            for end in range(begin + 1, size + 1):
                text = unit[begin:end]
                found = self._beginnings.get(text)
                if found and found[1]:
                    ends.append(end)
                    own.append(found[1])
                    heights.append(alpha * found[0] + sums[end])
                elif end == begin + 1:
                    ends.append(end)
                    own.append(self._ids_of_unknown(text))
                    heights.append(alpha * self._unknown_score + sums[end])
                if found is None:
                    break
            highest = max(heights)
            weights = [math.exp(height - highest) for height in heights]
            up_to = list(itertools.accumulate(weights))
            total = up_to.pop()
            sums[begin] = highest + math.log(total)
            cumulative = tuple([part / total for part in up_to])
            choices.append((cumulative, tuple(ends), tuple(own)))
        return tuple(choices[::-1])


class Bpe(_Sampler):
    """BPE dropout: before each merge every candidate is left out with chance `alpha`.

    Provilkov et al. 2020, algorithm 1, https://arxiv.org/abs/1910.13267: the best of
    the others is merged; where all are left out, the unit is done. (SentencePiece
    leaves a candidate out for good, and so merges less for the same `alpha`.)
    """

    def __init__(self, pieces: Sequence[model_file.Piece]) -> None:
        """Takes the pieces by id."""
        super().__init__(pieces)
        self._unused = {p.text for p in pieces if p.kind == model_file.UNUSED}
        self._scores = {
            p.text: p.score
            for p in pieces
            if p.text in self._ids or p.text in self._unused
        }
        self._kept = functools.lru_cache(_KEPT_UNITS)(self._pair_scores)

    def _extend(
        self, ids: list[int], units: list[str], alpha: float, choose: Choose
    ) -> None:
        for unit in units:
            short = len(unit) <= _LONGEST_KEPT
            scores = (self._kept if short else self._pair_scores)(unit)
            for symbol in self._merged(unit, scores, alpha, choose):
                ids += self._ids.get(symbol) or self._ids_of_other(symbol)

    def _pair_scores(self, unit: str) -> tuple[float, ...]:
        """Returns the score of merging each character with the next."""
        pairs = itertools.pairwise(unit)
        return tuple(
            [self._scores.get(left + right, _NO_PIECE) for left, right in pairs]
        )

    def _merged(
        self,
        unit: str,
        pair_scores: Sequence[float],
        alpha: float,
        choose: Choose,
        least: int = 1,
    ) -> list[str]:
        """Returns the symbols of a unit, merged until there are `least` or no pairs."""
        symbols, scores = list(unit), list(pair_scores)
        score = self._scores.get
        while len(scores) >= least:
            best = max(scores)
            if best == _NO_PIECE:
                break
            place = scores.index(best)
            if choose() < alpha:
                other = _second(scores, place, alpha, choose)
                if other is None:
                    break
                place = other
            both = symbols[place] + symbols[place + 1]
            symbols[place] = both
            del symbols[place + 1], scores[place]
            if place > 0:
                scores[place - 1] = score(symbols[place - 1] + both, _NO_PIECE)
            if place < len(scores):
                scores[place] = score(both + symbols[place + 1], _NO_PIECE)
        return symbols

    def _ids_of_other(self, symbol: str) -> tuple[int, ...]:
        """Returns the ids of unknown text, or of the halves of a piece not in use."""
        if symbol not in self._unused or len(symbol) == 1:
            return self._ids_of_unknown(symbol)

        halves = self._merged(
            symbol, self._pair_scores(symbol), 0.0, lambda: 0.0, least=2
        )
        ids: tuple[int, ...] = ()
        for half in halves:
            ids += self._ids.get(half) or self._ids_of_other(half)
        return ids


def _second(scores: list[float], best: int, alpha: float, choose: Choose) -> int | None:
    """Returns the best candidate that is not left out, where `best` is; or None."""
    others = scores.copy()
    while True:
        others[best] = _NO_PIECE
        highest = max(others)
        if highest == _NO_PIECE:
            return None
        best = others.index(highest)
        if choose() >= alpha:
            return best
