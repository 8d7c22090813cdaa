import itertools

import numpy as np
import pytest

from pipeline import visits as visits_lib


def _visits(case: int, *rates: float, num_lanes: int = 1):
    """Returns random shards of as many corpora as there are rates, and their visits."""
    draw = np.random.default_rng(case)
    shards = [
        visits_lib.Shard(
            (np.ones((int(draw.integers(1, 60)), 2), np.uint16),), rate, corpus
        )
        for corpus, rate in enumerate(rates)
        for _ in range(int(draw.integers(4, 9)))
    ]
    visits = visits_lib.Visits(
        shards, pool_examples=int(draw.integers(20, 200)), num_lanes=num_lanes, seed=3
    )
    return shards, visits


def _of_epoch(visits: visits_lib.Visits, epoch: int) -> np.ndarray:
    return np.concatenate([lane for pool in visits.pools(epoch) for lane in pool])


@pytest.mark.parametrize("case", range(8))
@pytest.mark.parametrize("rates", [(1.0,), (1.0, 2.5), (0.3, 7.0, 1.0)])
@pytest.mark.parametrize("num_lanes", [1, 4])
def test_every_shard_of_a_corpus_is_visited_equally_often(case, rates, num_lanes):
    shards, visits = _visits(case, *rates, num_lanes=num_lanes)
    for epoch in (0, 5):
        every = _of_epoch(visits, epoch)
        assert len(np.unique(every)) == len(every)
        counts = np.bincount(visits.shards(every), minlength=len(shards))
        for corpus, rate in enumerate(rates):
            (count,) = {
                count
                for count, shard in zip(counts, shards, strict=True)
                if shard.corpus == corpus
            }
            assert 1 <= count <= np.ceil(rate) or count == 1


@pytest.mark.parametrize("case", range(8))
def test_the_copies_of_all_visits_are_those_of_the_epoch_and_of_the_rate(case):
    shards, visits = _visits(case, 0.4, 3.7)
    came = [np.zeros(shard.num_pairs, np.int64) for shard in shards]
    for epoch in range(6):
        each = [np.zeros_like(count) for count in came]
        for visit in _of_epoch(visits, epoch):
            (shard,) = visits.shards(np.array([visit]))
            each[shard] += visits.copies(epoch, visit)
        for shard, count in enumerate(each):
            assert count.tolist() == visits.copies_in_epoch(epoch, shard).tolist()
            came[shard] += count
            wanted = shards[shard].rate * (epoch + 1)
            assert (np.abs(came[shard] - wanted) < 1).all()


def test_a_lane_keeps_its_shards_and_epochs_differ_in_their_order():
    _, visits = _visits(1, 1.0, 2.0, num_lanes=2)
    orders = []
    for epoch in range(3):
        lanes = [
            np.concatenate([pool[lane] for pool in visits.pools(epoch)])
            for lane in range(2)
        ]
        orders.append([visits.shards(lane).tolist() for lane in lanes])
    for one, other in itertools.combinations(orders, 2):
        assert one != other
        assert [sorted(lane) for lane in one] == [sorted(lane) for lane in other]


def test_the_rows_of_a_visit_are_those_of_its_shard():
    shards, visits = _visits(2, 1.0, 4.0)
    every = _of_epoch(visits, 0)
    assert visits.sizes(every).tolist() == [
        shards[shard].num_pairs for shard in visits.shards(every)
    ]
