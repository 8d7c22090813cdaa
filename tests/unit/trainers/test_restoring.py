import numpy as np
import pytest
import tensorflow as tf

from pipeline import exits
from trainers import checkpoints, restoring, run_directory


def _save(directory, *steps):
    for step in steps:
        weight = tf.Variable(float(step))
        checkpoints.save(directory.checkpoints, step, {"model/w": weight}, {})


def test_checkpoints_that_are_swept_while_they_are_read_give_way_to_newer_ones(
    tmp_path, monkeypatch
):
    """FAULTS 54: the run saves and prunes between our listing and our reading."""
    directory = run_directory.RunDirectory(tmp_path)
    _save(directory, 10, 20)
    read = checkpoints.read

    def read_late(prefix):
        monkeypatch.setattr(checkpoints, "read", read)
        if checkpoints.steps(directory.checkpoints) == [10, 20]:
            _save(directory, 30)
            checkpoints.prune(directory.checkpoints, 2, lambda step: True)
        return read(prefix)

    monkeypatch.setattr(checkpoints, "read", read_late)
    prefixes, tensors = restoring._read(directory, "average:2")
    assert [prefix.name for prefix in prefixes] == ["ckpt-20", "ckpt-30"]
    np.testing.assert_array_equal(tensors["model/w"], 25.0)


def test_a_checkpoint_that_stays_and_is_damaged_is_refused(tmp_path):
    directory = run_directory.RunDirectory(tmp_path)
    _save(directory, 10)
    (data,) = directory.checkpoints.glob("*.data-*")
    data.write_bytes(b"")
    with pytest.raises(exits.Refusal, match="choose others") as error:
        restoring._read(directory, "last")
    assert error.value.code == exits.BAD_DATA
