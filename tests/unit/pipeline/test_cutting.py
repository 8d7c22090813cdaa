import itertools

import numpy as np
import pytest

from pipeline import bucketing, cutting


def _buckets(draw: np.random.Generator, count: int, step: int) -> bucketing.Buckets:
    corners = {tuple(draw.integers(2, 20, 2).tolist()) for _ in range(count)} | {
        (20, 20)
    }
    src, tgt = np.array(sorted(corners, key=lambda c: (sum(c), c))).T
    rows = draw.integers(1, 9, len(src)) * step
    return bucketing.Buckets(src, tgt, rows)


def _queues(draw: np.random.Generator, buckets, lanes: int):
    numbers = itertools.count()
    return [
        [
            np.array([next(numbers) for _ in range(int(draw.integers(0, 30)))], int)
            for _ in range(lanes)
        ]
        for _ in range(len(buckets))
    ]


def _padded(batches, buckets) -> int:
    area = buckets.src + buckets.tgt
    return sum(len(batch.rows) * int(area[batch.bucket]) for batch in batches)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("lanes", [1, 3])
def test_every_row_is_in_one_batch_of_its_bucket_or_one_that_contains_it(seed, lanes):
    draw = np.random.default_rng(seed)
    buckets = _buckets(draw, int(draw.integers(1, 8)), lanes)
    queues = _queues(draw, buckets, lanes)
    home = {
        int(row): (k, lane)
        for k, own in enumerate(queues)
        for lane, rows in enumerate(own)
        for row in rows
    }
    batches = cutting.cut(queues, buckets, row_multiple=lanes)
    seen = []
    for k, rows in batches:
        assert (rows >= 0).any()
        for lane, part in enumerate(rows.reshape(lanes, -1)):
            for row in part[part >= 0].tolist():
                own, own_lane = home[row]
                assert own_lane == lane
                assert buckets.src[k] >= buckets.src[own]
                assert buckets.tgt[k] >= buckets.tgt[own]
                seen.append(row)
    assert sorted(seen) == sorted(home)


def test_a_rest_moves_up_where_that_pads_less():
    buckets = bucketing.Buckets(*np.array([[8, 9], [8, 9], [100, 100]]))
    few, many = [np.arange(3)], [np.arange(3, 75)]
    batches = cutting.cut([few, many], buckets)
    assert [(batch.bucket, len(batch.rows)) for batch in batches] == [(1, 75)]


def test_a_rest_gets_its_own_batch_where_moving_up_pads_more():
    buckets = bucketing.Buckets(*np.array([[8, 90], [8, 90], [100, 100]]))
    batches = cutting.cut([[np.arange(24)], [np.arange(24, 90)]], buckets)
    sizes = {(batch.bucket, len(batch.rows)) for batch in batches}
    assert sizes == {(0, 25), (1, 75)}


def test_part_of_a_rest_can_move_up():
    buckets = bucketing.Buckets(*np.array([[8, 9], [8, 9], [100, 100]]))
    batches = cutting.cut([[np.arange(53)], [np.arange(53, 125)]], buckets)
    sizes = {(batch.bucket, len(batch.rows)) for batch in batches}
    assert sizes == {(0, 50), (1, 75)}
    assert all((batch.rows >= 0).all() for batch in batches)


def _least(rests: list[int], buckets, parents) -> int:
    """Tries every number of rows to move up from every bucket."""
    if not rests:
        return 0
    area = int(buckets.src[0] + buckets.tgt[0])
    sizes = cutting.partial_rows(int(buckets.rows[0]))
    best = None
    for moved in range(rests[0] + 1 if parents[0] is not None else 1):
        stay = rests[0] - moved
        fulls, rest = divmod(stay, sizes[-1])
        rows = fulls * sizes[-1] + (min(s for s in sizes if s >= rest) if rest else 0)
        later = list(rests[1:])
        if moved:
            later[parents[0] - 1] += moved
        rest_of = bucketing.Buckets(buckets.src[1:], buckets.tgt[1:], buckets.rows[1:])
        above = [None if p is None else p - 1 for p in parents[1:]]
        padded = rows * area + _least(later, rest_of, above)
        best = padded if best is None else min(best, padded)
    return best


@pytest.mark.parametrize("seed", range(20))
def test_no_other_way_to_move_rests_up_pads_less(seed):
    draw = np.random.default_rng(seed)
    buckets = _buckets(draw, 3, 1)
    rests = [int(draw.integers(0, rows)) for rows in buckets.rows]
    numbers = np.split(np.arange(sum(rests)), np.cumsum(rests)[:-1])
    batches = cutting.cut([[rows] for rows in numbers], buckets)
    wanted = _least(rests, buckets, cutting._parents(buckets))
    assert _padded(batches, buckets) == wanted


@pytest.mark.parametrize("full", [1, 2, 3, 7, 100])
def test_a_batch_has_a_quarter_a_half_three_quarters_or_all_of_the_rows(full):
    assert cutting.partial_rows(full) == sorted(
        {-(-full * part // 4) for part in (1, 2, 3, 4)}
    )


@pytest.mark.parametrize(("full", "multiple"), [(8, 8), (48, 8), (40, 4), (6, 3)])
def test_parts_of_a_batch_are_multiples_too(full, multiple):
    sizes = cutting.partial_rows(full, multiple)
    assert sizes[-1] == full
    assert not any(size % multiple for size in sizes)
    assert len(sizes) <= 4
