import numpy as np
import pytest

from pipeline import pools


def _groups_one_by_one(sizes: np.ndarray, count: int) -> list[int]:
    """Cuts as the plan's first version did, part by part."""
    total = sizes.cumsum()
    ends: list[int] = [0]
    for part in range(1, count):
        wanted = total[-1] * part / count
        end = int(np.argmin(np.abs(total - wanted))) + 1
        ends.append(min(max(end, ends[-1] + 1), len(sizes) - (count - part)))
    return [*ends, len(sizes)]


@pytest.mark.parametrize("seed", range(300))
def test_shards_are_cut_into_pools_as_they_were_part_by_part(seed):
    draw = np.random.default_rng(seed)
    most = int(draw.choice([2, 10, 1000]))
    sizes = draw.integers(int(draw.integers(0, 2)), most, int(draw.integers(1, 60)))
    sizes[draw.integers(len(sizes))] += draw.integers(0, 3) * most + 1
    for count in range(1, len(sizes) + 1):
        wanted = _groups_one_by_one(sizes, count)
        assert pools._groups(sizes, count).tolist() == wanted


@pytest.mark.parametrize("seed", range(100))
def test_no_number_of_pools_that_could_do_is_passed_over(seed):
    draw = np.random.default_rng(seed)
    sizes = draw.integers(1, 30, int(draw.integers(1, 40)))
    room = float(draw.integers(1, 90))
    fewest = pools._fewest_groups(sizes, room)
    for count in range(1, min(fewest, len(sizes))):
        groups = pools._groups(sizes, count)
        assert not pools._fits(sizes, groups, room)
