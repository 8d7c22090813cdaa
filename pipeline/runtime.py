"""TensorFlow's start-up: imported late, without its chatter, threads as asked.

Importing TensorFlow takes seconds and prints lines on stderr that no environment
variable silences. An entry point first checks its flags and files, then calls `start`.
"""

import functools
import os
import re
import sys
import tempfile

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
def start(*, deterministic: bool = False) -> None:
    """Imports TensorFlow and finds its devices, passing on only unusual messages.

    Does nothing when it is called again.

    Args:
        deterministic: Whether operations must give the same bits each time.
    """
    # Levels below warning tell how TensorFlow works, for instance that a dataset ended.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            import tensorflow as tf

            if deterministic:
                tf.config.experimental.enable_op_determinism()
            tf.config.list_logical_devices()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            messages.seek(0)
            for line in messages:
                if not _CHATTER.search(line):
                    os.write(2, line)
