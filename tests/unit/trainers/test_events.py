import numpy as np
import tensorflow as tf

from tests import programs
from trainers import events

FULL = """
import pathlib, resource, sys
from pipeline import exits
from trainers import events

def main():
    shown = events.Events(pathlib.Path(sys.argv[1]))
    shown.scalars(1, {"loss": 2.0})
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    for step in range(2, 2000):
        shown.scalars(step, {"loss": 2.0})

sys.exit(exits.run(main))
"""


def _read(folder):
    found = []
    for path in folder.iterdir():
        records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        found += [tf.compat.v1.Event.FromString(record) for record in records]
    return {(one.step, value.tag) for one in found for value in one.summary.value}


def test_what_was_written_can_be_read_at_once(tmp_path):
    shown = events.Events(tmp_path)
    shown.scalars(3, {"step": 3, "loss": 1.5, "bleu": None})
    assert _read(tmp_path) == {(3, "loss")}
    shown.text(4, "samples", "a -> b\n")
    shown.histogram(0, "tokens/source", np.array([1, 2, 2]))
    assert _read(tmp_path) == {(3, "loss"), (4, "samples"), (0, "tokens/source")}


def test_a_full_disk_is_exit_code_74(tmp_path):
    """FAULTS 3."""
    done = programs.run_code(FULL, str(tmp_path))
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 74, done.stderr
    assert last.startswith("sluice: TensorBoard's events cannot be written (")
    assert "Traceback" not in done.stderr
