"""The clock of a run, and the memory that a process held."""

import numpy as np

from tests import programs
from trainers import clock

_CHILD = "from trainers import clock; print(clock.peak_rss_mb())"


def test_memory_is_that_of_the_process_and_not_of_what_started_it():
    """Linux hands `ru_maxrss` on to a child that is begun by vfork."""
    alone = float(programs.run_code(_CHILD).stdout)
    held = np.ones(600 << 17)  # 600 MiB, in use
    beside = float(programs.run_code(_CHILD).stdout)
    assert held.sum() > 0
    assert clock.peak_rss_mb() > 600
    assert beside < alone + 100
