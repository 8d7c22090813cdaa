"""Cutting the rows of buckets into batches, so that nothing is left over.

Full batches are cut first. What a bucket then has left, too few rows for another one,
either gets a batch of its own, of a quarter, half, three quarters or all of the rows of
a full one, completed with filler rows; or moves up into the next bucket that contains
it and is padded further there; or some of it does one thing and some the other. Of 130
rows left where a full batch has 400, these are the choices:

    own batch    filler rows    move up
    200                   70          0
    100                    0         30
    none                   0        130

Which is best depends on what the buckets above do, so it is decided for all of them by
dynamic programming, from the smallest bucket to the largest. Sizes in quarters bound
the number of shapes a run meets to four a bucket: every new shape costs a GPU compiler
seconds and a CPU's primitive cache memory.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline import bucketing

FILLER_ROW = -1
_MAX_STATES = 12  # ways to get here that are followed further


class CutBatch(NamedTuple):
    """A batch.

    Attributes:
        bucket: Its bucket.
        rows: Its rows, lane after lane, FILLER_ROW where there are too few: int64 [B].
    """

    bucket: int
    rows: np.ndarray


class _State(NamedTuple):
    """A way of dealing with the rests of a bucket and of those that moved into it.

    Attributes:
        moved: Rows that move further up, one number a lane.
        padded: Padded tokens spent so far.
        sizes: Rows a lane in the batches made here.
        before: The states of the buckets below, in the order of their numbers.
    """

    moved: tuple[int, ...]
    padded: int
    sizes: tuple[int, ...]
    before: tuple["_State", ...]


def cut(
    queues: Sequence[Sequence[np.ndarray]],
    buckets: bucketing.Buckets,
    *,
    row_multiple: int = 1,
) -> list[CutBatch]:
    """Returns batches with every row in exactly one of them.

    Args:
        queues: For each bucket and lane, row numbers, int64 [n].
        buckets: The buckets, those of little area first.
        row_multiple: Rows of every batch are a multiple of this; with lanes, a multiple
            of their number too.
    """
    num_lanes = len(queues[0])
    batches: list[CutBatch] = []
    rests: list[list[np.ndarray]] = []
    for k, lanes in enumerate(queues):
        part = int(buckets.rows[k]) // num_lanes
        num_full = min(map(len, lanes)) // part
        full = [lane[: num_full * part].reshape(num_full, part) for lane in lanes]
        batches += [CutBatch(k, rows) for rows in np.concatenate(full, axis=1)]
        rests.append([lane[num_full * part :] for lane in lanes])
    parents = _parents(buckets)
    # Padded tokens of one row of each lane.
    area = (num_lanes * (buckets.src + buckets.tgt)).tolist()
    below: list[list[int]] = [[] for _ in rests]
    for k, parent in enumerate(parents):
        if parent is not None:
            below[parent].append(k)
    states: list[list[_State]] = []
    for k, rest in enumerate(rests):
        part = int(buckets.rows[k]) // num_lanes
        own = tuple(map(len, rest))
        arrived = _together(own, [states[child] for child in below[k]], area[k])
        sizes = partial_rows(part, row_multiple // math.gcd(row_multiple, num_lanes))
        parent = parents[k]
        above = None if parent is None else area[parent]
        states.append(_ways(arrived, sizes, area[k], above))
    for k, parent in enumerate(parents):
        if parent is None:
            best = min(states[k], key=lambda state: state.padded)
            _follow(best, k, rests, below, batches)
    return batches


def partial_rows(full: int, multiple: int = 1) -> list[int]:
    """Returns the rows a batch may have: a quarter, half, ... of a full one.

    >>> partial_rows(10), partial_rows(2), partial_rows(48, 8)
    ([3, 5, 8, 10], [1, 2], [16, 24, 40, 48])
    """
    parts = (-(-full * part // 4) for part in (1, 2, 3, 4))
    return sorted({min(full, -(-size // multiple) * multiple) for size in parts})


def _parents(buckets: bucketing.Buckets) -> list[int | None]:
    """Returns for each bucket the smallest larger one into which all of it fits."""
    area = buckets.src + buckets.tgt
    parents: list[int | None] = []
    for k in range(len(buckets)):
        fits = (buckets.src >= buckets.src[k]) & (buckets.tgt >= buckets.tgt[k])
        candidates = np.flatnonzero(fits & (area > area[k]))
        parents.append(int(candidates[0]) if len(candidates) else None)
    return parents


def _together(
    own: tuple[int, ...], below: Sequence[Sequence[_State]], area: int
) -> list[_State]:
    """Returns what can have arrived at a bucket, its own rows included."""
    arrived = [_State(own, 0, (), ())]
    for states in below:
        arrived = _best(
            [
                _State(
                    tuple(map(sum, zip(one.moved, other.moved, strict=True))),
                    one.padded + other.padded,
                    (),
                    (*one.before, other),
                )
                for one in arrived
                for other in states
            ],
            area,
        )
    return arrived


def _ways(
    arrived: Sequence[_State], sizes: Sequence[int], area: int, above: int | None
) -> list[_State]:
    """Returns what a bucket can do with the rows that arrived.

    Args:
        arrived: What can have arrived.
        sizes: Rows a lane that a batch of the bucket may have, ascending.
        area: Padded tokens of a row of each lane.
        above: The same of the bucket above, if there is one.
    """
    ways = []
    for state in arrived:
        for made in _options(max(state.moved), sizes, last=above is None):
            num_rows = sum(made)
            ways.append(
                _State(
                    tuple(max(0, count - num_rows) for count in state.moved),
                    state.padded + num_rows * area,
                    made,
                    state.before,
                )
            )
    return _best(ways, above or 0)


def _options(
    num_rows: int, sizes: Sequence[int], *, last: bool
) -> list[tuple[int, ...]]:
    """Returns which batches may be made of so many rows; what is over moves up.

    >>> _options(7, [2, 4], last=False)
    [(4, 4), (4, 2), (4,), (2,), ()]

    Args:
        num_rows: Rows of the longest lane.
        sizes: Rows a batch may have, ascending.
        last: Whether nothing may move up.
    """
    num_full, rest = divmod(num_rows, sizes[-1])
    full = (sizes[-1],)
    enough = [size for size in sizes if size >= rest][:1] if rest else []
    options = [full * num_full + tuple(enough)]
    if last:
        return options
    if rest:
        options += [(*full * num_full, size) for size in sizes if size < rest]
        options.append(full * num_full)
    if num_full:  # rows of a full batch may fill what is empty further up
        options += [(*full * (num_full - 1), size) for size in sizes[:-1]]
        options.append(full * (num_full - 1))
    return options


def _best(states: list[_State], area: int) -> list[_State]:
    """Returns the cheapest way to each outcome, and of these the few best so far.

    Args:
        states: Ways.
        area: What a row of each lane that moves on costs at least.
    """
    cheapest: dict[tuple[int, ...], _State] = {}
    for state in states:
        known = cheapest.get(state.moved)
        if known is None or state.padded < known.padded:
            cheapest[state.moved] = state
    ranked = sorted(
        cheapest.values(),
        key=lambda state: (state.padded + max(state.moved) * area, state.moved),
    )
    return ranked[:_MAX_STATES]


def _follow(
    state: _State,
    k: int,
    rests: list[list[np.ndarray]],
    below: list[list[int]],
    batches: list[CutBatch],
) -> list[np.ndarray]:
    """Makes the batches that a state stands for; returns the rows that move up."""
    queues = rests[k]
    for child, before in zip(below[k], state.before, strict=True):
        moved = _follow(before, child, rests, below, batches)
        queues = [np.concatenate(both) for both in zip(queues, moved, strict=True)]
    for size in state.sizes:
        parts = []
        for lane, queue in enumerate(queues):
            taken, queues[lane] = queue[:size], queue[size:]
            parts.append(np.append(taken, np.full(size - len(taken), FILLER_ROW)))
        batches.append(CutBatch(k, np.concatenate(parts)))
    return queues
