"""Length buckets: which pairs share a batch, and how many fit.

A bucket is a rectangle: pairs whose source and target are at most so long, and do not
fit into a smaller one. Its batches are padded to its two boundaries, so few distinct
shapes are ever run, and its rows are as many as the budget allows:

    source at most, in tokens      9    14    14   ...    43
    target at most, in tokens     10    12    17   ...    48
    pairs in a batch             409   292   240   ...    85     (tokens_per_batch=4096)

The boundaries are learned from the data. Cutting both sides matters: pairs with equally
long sources differ in their targets, and a batch is as wide as its widest pair.

"Length" is in subword tokens and counts the BOS or EOS that batching adds.
"""

import dataclasses

import numpy as np

# The dynamic programme costs levels^4 in time and levels^3 in memory. Beyond this many
# distinct lengths a side, neighbouring lengths are merged, by equal numbers of pairs.
_MAX_LEVELS = 64
_MAX_CUTS = 12  # target intervals within one source interval


@dataclasses.dataclass(frozen=True)
class Buckets:
    """Boundaries and batch sizes, one entry a bucket, in order of source then target.

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
        """Returns the bucket of each pair, int64 [N], for lengths [N, 2].

        Raises:
            ValueError: If a pair fits into no bucket.
        """
        if not len(lengths):
            return np.zeros(0, np.int64)
        size = lengths.max(axis=0).astype(np.int64) + 1
        table = np.full(size, -1, np.int64)
        # Later buckets are overwritten by earlier ones inside them: a source band is
        # ordered by target, and the bands by source.
        for k in range(len(self) - 1, -1, -1):
            table[: self.src[k] + 1, : self.tgt[k] + 1] = k
        buckets = table[lengths[:, 0], lengths[:, 1]]
        if buckets.min() < 0:
            pair = lengths[int(np.argmin(buckets))]
            raise ValueError(f"a pair of {pair[0]} and {pair[1]} tokens fits no bucket")
        return buckets


def learn(
    histogram: np.ndarray, *, num_buckets: int, multiple: int, tokens_per_batch: int
) -> Buckets:
    """Returns at most `num_buckets` buckets with the least padding for the data.

    The source side is cut into bands and each band's target side into intervals, both
    by dynamic programming, so the result is optimal among such partitions (up to the
    merging of levels).

    Args:
        histogram: Source length, target length, number of pairs: int64 [M, 3].
        num_buckets: The most buckets.
        multiple: Boundaries are rounded up to multiples of this.
        tokens_per_batch: Padded tokens allowed on the larger side of a batch.

    Raises:
        ValueError: If the longest pair does not fit in `tokens_per_batch`.
    """
    src_levels, src_index = _levels(histogram[:, 0], histogram[:, 2], multiple)
    tgt_levels, tgt_index = _levels(histogram[:, 1], histogram[:, 2], multiple)
    counts = np.zeros((len(src_levels), len(tgt_levels)), np.int64)
    np.add.at(counts, (src_index, tgt_index), histogram[:, 2])
    boundaries = np.array(_partition(counts, src_levels, tgt_levels, num_buckets))
    src, tgt = boundaries[:, 0], boundaries[:, 1]
    rows = tokens_per_batch // np.maximum(src, tgt)
    if rows.min() < 1:
        raise ValueError(
            f"--tokens_per_batch={tokens_per_batch} is less than the longest pair, "
            f"{int(max(src.max(), tgt.max()))} tokens; raise it or set --max_length"
        )
    return Buckets(src=src, tgt=tgt, rows=rows)


def _levels(
    lengths: np.ndarray, pairs: np.ndarray, multiple: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns candidate boundaries, ascending [L], and each length's index in them."""
    rounded = -(-lengths // multiple) * multiple
    levels, index = np.unique(rounded, return_inverse=True)
    if len(levels) > _MAX_LEVELS:
        mass = np.cumsum(np.bincount(index, weights=pairs))
        wanted = mass[-1] * np.arange(1, _MAX_LEVELS + 1) / _MAX_LEVELS
        ends = np.unique(np.minimum(np.searchsorted(mass, wanted), len(levels) - 1))
        levels = levels[ends]
        index = np.searchsorted(levels, rounded)
    return levels, index.reshape(-1)


def _partition(
    counts: np.ndarray, src: np.ndarray, tgt: np.ndarray, num_buckets: int
) -> list[tuple[int, int]]:
    """Returns the (source, target) boundaries of the least padded partition.

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
    return _backtrack(choice, parents, longest, src, tgt, num_buckets)


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
    src: np.ndarray,
    tgt: np.ndarray,
    num_buckets: int,
) -> list[tuple[int, int]]:
    boundaries = []
    used, end = num_buckets, len(src)
    while end > 0:
        begin, cuts = choice[used, end]
        tgt_end = int(longest[begin, end])
        for left in range(cuts - 1, -1, -1):
            boundaries.append((int(src[end - 1]), int(tgt[tgt_end - 1])))
            tgt_end = int(parents[left][begin, end, tgt_end])
            if tgt_end == 0:
                break
        used, end = used - cuts, begin
    return boundaries[::-1]
