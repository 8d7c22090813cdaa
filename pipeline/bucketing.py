"""Length buckets: which pairs share a batch, and how many fit.

A bucket holds pairs whose source and target are at most so long; a pair goes to the
bucket that pads it least. Its batches are padded to its two boundaries, so few distinct
shapes are ever run, and its rows are as many as the budget allows:

    source at most, in tokens      9    14    14   ...    43
    target at most, in tokens     10    12    17   ...    48
    pairs in a batch             409   292   240   ...    85     (tokens_per_batch=4096)

The boundaries are learned from the data. Cutting both sides matters: pairs with equally
long sources differ in their targets, and a batch is as wide as its widest pair.

"Length" is in subword tokens and counts the BOS or EOS that batching adds.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# The dynamic programme costs levels^4 in time and levels^3 in memory. Beyond this many
# distinct lengths a side, neighbouring lengths are merged, by equal numbers of pairs.
_MAX_LEVELS = 64
_MAX_CUTS = 12  # target intervals within one source interval
_REACH = 4  # levels by which a boundary moves in one turn of the descent
_MAX_TURNS = 30


class Budget(NamedTuple):
    """How large a batch may be.

    Attributes:
        tokens: Padded tokens on the larger side; None for no limit.
        rows: Pairs; None for no limit.
        attention: Pairs times the square of the larger side, entries of the largest
            attention matrix of one head; None for no limit.
        row_multiple: Pairs of a full batch are a multiple of this.
    """

    tokens: int | None
    rows: int | None = None
    attention: int | None = None
    row_multiple: int = 1

    def rows_of(self, longest: np.ndarray) -> np.ndarray:
        """Returns the pairs of a full batch, int64 [K], for the larger side's tokens.

        Raises:
            ValueError: If not even `row_multiple` pairs fit.
        """
        limits = []
        if self.tokens is not None:
            limits.append((self.tokens // longest, f"--tokens_per_batch={self.tokens}"))
        if self.rows is not None:
            rows = np.full(len(longest), self.rows)
            limits.append((rows, f"--batch_rows={self.rows}"))
        if self.attention is not None:
            squares = self.attention // longest**2
            limits.append((squares, f"--attention_budget={self.attention}"))
        for rows, flag in limits:
            if rows.min() < self.row_multiple:
                raise ValueError(
                    f"{flag} is less than {self.row_multiple} x the longest pair, "
                    f"{int(longest.max())} tokens; raise it or lower --max_length"
                )
        least: np.ndarray = np.min([rows for rows, _ in limits], axis=0)
        least -= least % self.row_multiple
        return least


@dataclasses.dataclass(frozen=True)
class Buckets:
    """Boundaries and batch sizes, one entry a bucket, those of little area first.

    Attributes:
        src: Longest source of each bucket, in tokens, int64 [K].
        tgt: Longest target of each bucket, in tokens, int64 [K].
        rows: Pairs in a full batch of each bucket, int64 [K].
    """

    src: np.ndarray
    tgt: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        """Returns the number of buckets."""
        return len(self.src)

    def assign(self, lengths: np.ndarray) -> np.ndarray:
        """Returns the bucket that pads each pair least, int64 [N], for lengths [N, 2].

        Raises:
            ValueError: If a pair fits into no bucket.
        """
        ranks = []
        for side, boundaries in enumerate((self.src, self.tgt)):
            steps = np.unique(boundaries)
            of_length = np.searchsorted(steps, np.arange(steps[-1] + 1))
            within = np.minimum(lengths[:, side], steps[-1] + 1)
            ranks.append(np.append(of_length, len(steps))[within])
        buckets: np.ndarray = self._smallest[ranks[0], ranks[1]]
        if buckets.min(initial=0) < 0:
            pair = lengths[int(np.argmin(buckets))]
            raise ValueError(f"a pair of {pair[0]} and {pair[1]} tokens fits no bucket")
        return buckets

    @functools.cached_property
    def _smallest(self) -> np.ndarray:
        """The smallest bucket that holds each (source step, target step), or -1."""
        src_steps, src = np.unique(self.src, return_inverse=True)
        tgt_steps, tgt = np.unique(self.tgt, return_inverse=True)
        table = np.full((len(src_steps) + 1, len(tgt_steps) + 1), -1, np.int64)
        for k in range(len(self) - 1, -1, -1):  # the smallest is written last
            table[: src[k] + 1, : tgt[k] + 1] = k
        return table

    def padded(self, histogram: np.ndarray) -> int:
        """Returns the tokens of both sides, padding included, of all pairs."""
        buckets = self.assign(histogram[:, :2])
        return int(((self.src + self.tgt)[buckets] * histogram[:, 2]).sum())


def learn(
    histogram: np.ndarray, *, num_buckets: int, multiple: int, budget: Budget
) -> Buckets:
    """Returns at most `num_buckets` buckets with little padding for the data.

    The source side is cut into bands and each band's target side into intervals, both
    by dynamic programming: the best of all such partitions (up to the merging of
    levels). From there each bucket's corner moves to where it saves most, in turn,
    until none does; buckets then overlap, and share the work better than bands can.

    Args:
        histogram: Source length, target length, number of pairs: [M, 3].
        num_buckets: The most buckets.
        multiple: Boundaries are rounded up to multiples of this.
        budget: How large a batch may be.

    Raises:
        ValueError: If the longest pair does not fit.
    """
    src_levels, src_index = _levels(histogram[:, 0], histogram[:, 2], multiple)
    tgt_levels, tgt_index = _levels(histogram[:, 1], histogram[:, 2], multiple)
    counts = np.zeros((len(src_levels), len(tgt_levels)))
    np.add.at(counts, (src_index, tgt_index), histogram[:, 2])
    corners = _partition(counts, src_levels, tgt_levels, num_buckets)
    corners = _descend(counts, src_levels, tgt_levels, corners)
    ordered = sorted(
        {(int(src_levels[i]), int(tgt_levels[j])) for i, j in corners},
        key=lambda corner: (sum(corner), corner),
    )
    src, tgt = np.array(ordered, np.int64).T
    return Buckets(src=src, tgt=tgt, rows=budget.rows_of(np.maximum(src, tgt)))


def _descend(
    counts: np.ndarray,
    src: np.ndarray,
    tgt: np.ndarray,
    corners: Sequence[tuple[int, int]],
) -> list[tuple[int, int]]:
    """Moves corners, given as indices of levels, to where they pad less."""
    moved = list(corners)
    area = (src[:, None] + tgt[None, :]).astype(float)
    costs = np.stack([_costs_of(area, corner) for corner in moved])  # [K, A, T]
    for _ in range(_MAX_TURNS):
        before = list(moved)
        for k, corner in enumerate(moved):
            others = np.delete(costs, k, axis=0).min(axis=0, initial=np.inf)
            moved[k] = _best_corner(counts, area, others, corner)
            costs[k] = _costs_of(area, moved[k])
        if moved == before:
            break
    return moved


def _costs_of(area: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    """Returns what a pair of each lengths costs in a bucket; infinity if it is out."""
    costs = np.full(area.shape, np.inf)
    costs[: corner[0] + 1, : corner[1] + 1] = area[corner]
    return costs


def _best_corner(
    counts: np.ndarray, area: np.ndarray, others: np.ndarray, corner: tuple[int, int]
) -> tuple[int, int]:
    """Returns the corner within reach that pads least, given what others cost.

    Pairs that fit into no other bucket have to fit into this one.
    """
    alone = (counts > 0) & np.isinf(others)
    rows, columns = alone.any(axis=1), alone.any(axis=0)
    least = [int(side.nonzero()[0].max(initial=0)) for side in (rows, columns)]
    num_alone = float(counts[alone].sum())
    covered = np.where(alone, 0.0, others)
    covered[~np.isfinite(covered)] = 0.0

    def saved(at: tuple[int, int]) -> float:
        inside = (slice(at[0] + 1), slice(at[1] + 1))
        gains = np.maximum(covered[inside] - area[at], 0.0)
        return float((counts[inside] * gains).sum() - num_alone * area[at])

    best, most = corner, saved(corner)
    for i in range(max(least[0], corner[0] - _REACH), corner[0] + _REACH + 1):
        for j in range(max(least[1], corner[1] - _REACH), corner[1] + _REACH + 1):
            if i < len(area) and j < area.shape[1] and saved((i, j)) > most:
                best, most = (i, j), saved((i, j))
    return best


def _levels(
    lengths: np.ndarray, pairs: np.ndarray, multiple: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns candidate boundaries, ascending [L], and each length's index in them."""
    rounded = -(-lengths // multiple) * multiple
    levels, index = np.unique(rounded, return_inverse=True)
    if len(levels) > _MAX_LEVELS:
        mass = np.cumsum(np.bincount(index, weights=pairs))
        wanted = mass[-1] * np.arange(1, _MAX_LEVELS + 1) / _MAX_LEVELS
        ends = np.minimum(np.searchsorted(mass, wanted), len(levels) - 1)
        ends[-1] = len(levels) - 1  # the longest, even if nothing is left of its weight
        levels = levels[np.unique(ends)]
        index = np.searchsorted(levels, rounded)
    return levels, index.reshape(-1)


def _partition(
    counts: np.ndarray, src: np.ndarray, tgt: np.ndarray, num_buckets: int
) -> list[tuple[int, int]]:
    """Returns the corners of the least padded partition, as indices of levels.

    `cost[c][a, b]` is the padded tokens of the band of source levels a to b - 1 with
    its target side cut into at most c + 1 intervals; then bands are chosen by a second
    programme over (last level, buckets used).
    """
    num_src = len(src)
    max_cuts = min(_MAX_CUTS, num_buckets, len(tgt))
    longest = _longest_targets(counts)
    costs, parents = _band_costs(counts, src, tgt, longest, max_cuts)
    best = np.full((num_buckets + 1, num_src + 1), np.inf)
    best[:, 0] = 0.0
    choice: dict[tuple[int, int], tuple[int, int]] = {}
    for used in range(1, num_buckets + 1):
        for cuts in range(1, min(max_cuts, used) + 1):
            total = best[used - cuts, :num_src, None] + costs[cuts - 1][:num_src, 1:]
            first = np.argmin(total, axis=0)  # [num_src]: where the last band begins
            value = total[first, np.arange(num_src)]
            for end in np.flatnonzero(value < best[used, 1:] - 1e-9):
                best[used, end + 1] = value[end]
                choice[used, int(end) + 1] = (int(first[end]), cuts)
    return _backtrack(choice, parents, longest, num_src, num_buckets)


def _longest_targets(counts: np.ndarray) -> np.ndarray:
    """Returns the number of target levels each band of source levels needs.

    int64 [A + 1, A + 1]: one more than the last level with a pair in levels a to b - 1.
    """
    num_src = len(counts)
    last = np.array([row.nonzero()[0].max(initial=-1) + 1 for row in counts])
    longest = np.zeros((num_src + 1, num_src + 1), np.int64)
    for begin in range(num_src):
        longest[begin, begin + 1 :] = np.maximum.accumulate(last[begin:])
    return longest


def _band_costs(
    counts: np.ndarray,
    src: np.ndarray,
    tgt: np.ndarray,
    longest: np.ndarray,
    max_cuts: int,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns padded tokens and back pointers for every band and number of cuts.

    costs[c] is float64 [A + 1, A + 1] over source levels a < b; parents[c] is int64
    [A + 1, A + 1, T + 1]: where the last of c + 1 target intervals begins.
    """
    num_src, num_tgt = counts.shape
    below = np.zeros((num_src + 1, num_tgt + 1))
    below[1:, 1:] = counts.cumsum(axis=0).cumsum(axis=1)
    band = below[None, :, :] - below[:, None, :]  # [A+1, A+1, T+1], a then b
    valid = np.triu(np.ones((num_src + 1, num_src + 1), bool), 1)
    src_end = np.concatenate([[0], src])  # boundary of a band that ends before b
    src_cost = src_end[None, :] * band[:, :, -1]
    cost = np.where(np.arange(num_tgt + 1) > 0, band * np.concatenate([[0], tgt]), 0.0)
    costs = [np.where(valid, _at(cost, longest) + src_cost, np.inf)]
    parents = [np.zeros(cost.shape, np.int64)]
    for _ in range(1, max_cuts):
        parent = np.zeros(cost.shape, np.int64)
        longer = cost.copy()
        for end in range(1, num_tgt + 1):
            # The last interval holds target levels begin to end - 1.
            rows = band[:, :, end : end + 1] - band[:, :, :end]
            total = cost[:, :, :end] + rows * tgt[end - 1]
            parent[:, :, end] = np.argmin(total, axis=-1)
            longer[:, :, end] = np.min(total, axis=-1)
        cost = longer
        costs.append(np.where(valid, _at(cost, longest) + src_cost, np.inf))
        parents.append(parent)
    return costs, parents


def _at(cost: np.ndarray, longest: np.ndarray) -> np.ndarray:
    """Returns cost[a, b, longest[a, b]] for every band."""
    return np.take_along_axis(cost, longest[:, :, None], axis=2)[:, :, 0]


def _backtrack(
    choice: dict[tuple[int, int], tuple[int, int]],
    parents: list[np.ndarray],
    longest: np.ndarray,
    num_src: int,
    num_buckets: int,
) -> list[tuple[int, int]]:
    corners = []
    used, end = num_buckets, num_src
    while end > 0:
        begin, cuts = choice[used, end]
        tgt_end = int(longest[begin, end])
        for left in range(cuts - 1, -1, -1):
            corners.append((end - 1, tgt_end - 1))
            tgt_end = int(parents[left][begin, end, tgt_end])
            if tgt_end == 0:
                break
        used, end = used - cuts, begin
    return corners[::-1]
