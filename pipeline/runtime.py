"""TensorFlow's start-up: imported late, without its chatter, threads as asked.

Importing TensorFlow takes seconds and prints lines on stderr that no environment
variable silences. An entry point first checks its flags and files, then calls `start`.
"""

import contextlib
import functools
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_LEGACY_KERAS = "TF_USE_LEGACY_KERAS"

# What TensorFlow says at every start on a machine without a GPU. All of it is true and
# none of it is news; anything else is passed on.
_CHATTER = re.compile(
    rb"All log messages before absl::InitializeLog"
    rb"|oneDNN custom operations are on"
    rb"|Could not find cuda drivers on your machine"
    rb"|failed call to cuInit"
    rb"|This TensorFlow binary is optimized to use available CPU instructions"
    rb"|To enable the following instructions"
)


@functools.cache
def start(
    *, deterministic: bool = False, cpu_devices: int = 1, find_devices: bool = True
) -> None:
    """Imports TensorFlow and finds its devices, passing on only unusual messages.

    Does nothing when it is called again with the same arguments; with others it may
    come after `find_devices=False` alone, which leaves all of them open.

    Args:
        deterministic: Whether operations must give the same bits each time.
        cpu_devices: Into how many devices the processor is split.
        find_devices: Whether to find them at once. A process among several leaves it to
            the strategy, which must come first.
    """
    # Levels below warning tell how TensorFlow works, for instance that a dataset ended.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    with without_chatter():
        with _without_keras():
            import tensorflow as tf

        if deterministic:
            tf.config.experimental.enable_op_determinism()
        if cpu_devices > 1:
            tf.config.set_logical_device_configuration(
                tf.config.list_physical_devices("CPU")[0],
                [tf.config.LogicalDeviceConfiguration()] * cpu_devices,
            )
        if find_devices:
            tf.config.list_logical_devices()


@contextlib.contextmanager
def _without_keras() -> Iterator[None]:
    """Keeps TensorFlow from importing Keras in the block: two fifths of its import.

    TensorFlow looks for the package that this variable names instead, and finds none.
    Afterwards `tf.keras` is Keras all the same, imported when it is used.
    """
    if _LEGACY_KERAS in os.environ:
        yield
        return
    os.environ[_LEGACY_KERAS] = "1"
    try:
        yield
    finally:
        del os.environ[_LEGACY_KERAS]


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Holds back what is said on stderr in the block; then passes on what is news."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            messages.seek(0)
            for line in messages:
                if not _CHATTER.search(line):
                    os.write(2, line)
