"""SIGTERM, SIGUSR1 and SIGINT only raise a flag; the loop ends at the next good moment.

A handler that ended the program would cut a save in two.
"""

import signal
import types


class StopRequest:
    """Whether the process was asked to stop, and by which signal."""

    def __init__(self) -> None:
        """Takes over the signals; a second SIGINT ends the program at once."""
        self.reason: str | None = None
        self.listen()

    def listen(self) -> None:
        """Takes over the signals, again if need be.

        TensorFlow takes SIGTERM for itself when it joins several processes.
        """
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, self._note)

    def __bool__(self) -> bool:
        """Returns whether the process was asked to stop."""
        return self.reason is not None

    def _note(self, number: int, _: types.FrameType | None) -> None:
        self.reason = signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
