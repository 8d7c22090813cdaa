import errno

import pytest
import tensorflow as tf

from pipeline import exits, progress
from trainers import actions, checkpoints, clock, run_directory, signals


class Disk:
    """Saves that fail while it is full."""

    def __init__(self):
        self.full = False
        self.saved = []

    def save(self, step):
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device", "ckpt")
        self.saved.append(step)


@pytest.fixture
def stop():
    request = signals.StopRequest.__new__(signals.StopRequest)
    request.reason = None
    return request


def _save(disk, stop, **changes):
    settings = {
        "every_steps": 10,
        "every_secs": 1000.0,
        "max_train_secs": 0.0,
        "last_step": 100,
    } | changes
    return actions.Save(None, disk.save, stop, clock.Clock(0.0), **settings)


def test_it_saves_every_so_many_steps_and_at_the_end(stop):
    disk = Disk()
    save = _save(disk, stop, last_step=25)
    for step in range(1, 26):
        save(step)
    assert disk.saved == [10, 20, 25]


def test_it_saves_when_the_time_is_due(stop):
    disk = Disk()
    save = _save(disk, stop, every_secs=1e-9)
    save(1)
    assert disk.saved == [1]


def test_asked_to_stop_it_saves_and_ends_the_run(stop):
    """FAULTS 38."""
    disk = Disk()
    save = _save(disk, stop)
    stop.reason = "SIGTERM"
    with pytest.raises(exits.Refusal, match="SIGTERM after step 3") as error:
        save(3)
    assert error.value.code == exits.PREEMPTED
    assert disk.saved == [3]


def test_out_of_time_it_saves_and_ends_the_run(stop):
    disk = Disk()
    with pytest.raises(actions.FinishedError, match="time"):
        _save(disk, stop, max_train_secs=1e-9)(3)
    assert disk.saved == [3]


def test_a_full_disk_is_survived_until_there_is_room_again(stop):
    """FAULTS 43."""
    disk = Disk()
    save = _save(disk, stop)
    disk.full = True
    save(10)
    save(20)
    disk.full = False
    save(30)
    disk.full = True
    save(40)
    assert disk.saved == [30]


def test_a_disk_that_stays_full_ends_the_run(stop):
    """FAULTS 43."""
    disk = Disk()
    disk.full = True
    save = _save(disk, stop)
    save(10)
    save(20)
    with pytest.raises(exits.Refusal, match="step 30 could not be saved") as error:
        save(30)
    assert error.value.code == exits.DISK


def test_the_last_save_must_succeed(stop):
    disk = Disk()
    disk.full = True
    with pytest.raises(exits.Refusal) as error:
        _save(disk, stop)(100)
    assert error.value.code == exits.DISK


def test_best_holds_what_was_just_found_best_whatever_was_there(tmp_path):
    """An earlier attempt may have left a best checkpoint of a later step."""
    directory = run_directory.RunDirectory(tmp_path)
    module = tf.Module()
    module.weight = tf.Variable(1.0)
    checkpoints.save(directory.best, 500, {"weight": module.weight}, {})
    evaluate = actions.Evaluate(
        module,
        lambda: {"loss": 2.0},
        directory,
        actions.RunState({}),
        clock.Clock(0.0),
        progress.Progress("testing", unit="steps"),
        every=200,
        last_step=1000,
    )
    evaluate(200)
    assert checkpoints.steps(directory.best) == [200]
