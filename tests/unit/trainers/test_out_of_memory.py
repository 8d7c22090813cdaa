import errno
import os

import numpy as np
import pytest
import tensorflow as tf

from pipeline import exits
from trainers import out_of_memory

ROWS = 10_000_000  # squared and in four bytes each: 400 TB


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            tf.zeros, marks=pytest.mark.long, id="tensorflow"
        ),  # it waits 10 s
        pytest.param(np.zeros, id="numpy"),
    ],
)
def test_what_memory_has_no_room_for_is_refused_with_the_way_out(make):
    """FAULTS 53."""
    with (
        pytest.raises(exits.Refusal, match="no room for a square; lower it") as error,
        out_of_memory.refused("a square", "lower it"),
    ):
        make([ROWS, ROWS])
    assert error.value.code == exits.USAGE


@pytest.mark.parametrize("path", ["/runs/x", "/classroom/x", "/data/OOMs/x"])
def test_files_that_cannot_be_opened_are_no_memory(path):
    """TensorFlow has the same error for both."""
    told = f"{path}; {os.strerror(errno.EMFILE)}"
    error = tf.errors.ResourceExhaustedError(None, None, told)
    with pytest.raises(tf.errors.ResourceExhaustedError), out_of_memory.refused("", ""):
        raise error
