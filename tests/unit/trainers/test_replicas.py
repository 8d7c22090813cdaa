import os
import signal

import pytest

from trainers import replicas, signals, strategy_config


@pytest.fixture
def stopped():
    """A process that was asked to stop."""
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    stop = signals.StopRequest()
    os.kill(os.getpid(), signal.SIGTERM)
    yield stop
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_of_several_workers_none_breaks_off_alone(stopped):
    one = replicas.Replicas()
    of_two = replicas.Replicas(worker=strategy_config.Worker(number=1, num_workers=2))
    assert one.breaks_off(stopped)
    assert not of_two.breaks_off(stopped)
