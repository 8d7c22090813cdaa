import os
import signal

import pytest

from trainers import signals


@pytest.fixture(autouse=True)
def _restored():
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_only_raises_a_flag(number):
    """FAULTS 38 and 39."""
    stop = signals.StopRequest()
    assert stop.reason is None
    os.kill(os.getpid(), number)
    assert stop.reason == number.name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_the_same_signal_again_changes_nothing(number):
    """FAULTS 38."""
    stop = signals.StopRequest()
    for _ in range(3):
        os.kill(os.getpid(), number)
    assert stop.reason == number.name


def test_a_second_interrupt_is_immediate():
    """FAULTS 39."""
    signals.StopRequest()
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
