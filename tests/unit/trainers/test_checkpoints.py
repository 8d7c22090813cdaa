import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pipeline import exits, fail_points
from tests import damage
from trainers import checkpoints


def _variables(value: float = 1.0) -> dict[str, tf.Variable]:
    return {
        "model/a": tf.Variable([[value, 2.0]]),
        "step": tf.Variable(int(value), dtype=tf.int64),
        "empty": tf.Variable(tf.zeros([0, 3])),
    }


def _save(directory, step):
    checkpoints.save(directory, step, _variables(step), {"cursor": [0, 0, step]})


def test_what_is_saved_is_restored_with_its_facts(tmp_path):
    _save(tmp_path, 7)
    step, tensors, state = checkpoints.read_newest(tmp_path)
    fresh = _variables(0.0)
    checkpoints.restore(tensors, fresh, "it")
    assert step == 7
    assert state == {"cursor": [0, 0, 7]}
    for name, variable in _variables(7.0).items():
        np.testing.assert_array_equal(variable, fresh[name])


def test_tensorflow_reads_the_files_under_our_names(tmp_path):
    _save(tmp_path, 7)
    names = {name for name, _ in tf.train.list_variables(str(tmp_path / "ckpt-7"))}
    assert names == {"model/a", "step", "empty", checkpoints.RUN_STATE}


def test_the_directory_holds_checkpoints_and_nothing_else(tmp_path):
    _save(tmp_path, 7)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ckpt-7.data-00000-of-00001",
        "ckpt-7.index",
    ]


def test_only_the_newest_are_kept(tmp_path):
    for step in (1, 2, 10, 30):
        _save(tmp_path, step)
    checkpoints.prune(tmp_path, 2, lambda step: True)
    assert checkpoints.steps(tmp_path) == [10, 30]
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda names: names.pop("model/a"), "has besides 1 .model/a."),
        (lambda names: names.update(b=tf.Variable(1.0)), "lacks 1 .b."),
        (
            lambda names: names.update({"model/a": tf.Variable([1.0])}),
            "in another shape 1 .model/a.",
        ),
    ],
)
def test_names_and_shapes_must_be_the_same_or_nothing_is_assigned(
    tmp_path, change, message
):
    """FAULTS 60."""
    _save(tmp_path, 7)
    _, tensors, _ = checkpoints.read_newest(tmp_path)
    fresh = _variables(0.0)
    change(fresh)
    with pytest.raises(exits.Refusal, match=message) as error:
        checkpoints.restore(tensors, fresh, "it")
    assert error.value.code == exits.MISMATCH
    assert int(fresh["step"].numpy()) == 0


DAMAGE = [
    ("data-00000-of-00001", lambda path: damage.flip_a_bit(path, 0)),
    ("data-00000-of-00001", lambda path: path.write_bytes(path.read_bytes()[:4])),
    ("data-00000-of-00001", lambda path: path.write_bytes(b"")),
    ("data-00000-of-00001", lambda path: path.unlink()),
    ("index", lambda path: damage.flip_a_bit(path, 3)),
    ("index", lambda path: path.write_bytes(path.read_bytes()[:40])),
    ("index", lambda path: path.write_bytes(b"")),
]


@pytest.mark.parametrize(("part", "harm"), DAMAGE)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_taken(
    tmp_path, part, harm
):
    """FAULTS 42."""
    for step in (1, 2):
        _save(tmp_path, step)
    harm(tmp_path / f"ckpt-2.{part}")
    step, tensors, _ = checkpoints.read_newest(tmp_path)
    assert step == int(tensors["step"]) == 1
    assert list(tmp_path.glob("damaged-ckpt-2.*"))
    assert checkpoints.steps(tmp_path) == [1]


@pytest.mark.parametrize(("part", "harm"), DAMAGE)
def test_if_none_can_be_read_it_is_refused_every_time(tmp_path, part, harm):
    """FAULTS 42: never silently from scratch."""
    _save(tmp_path, 1)
    harm(tmp_path / f"ckpt-1.{part}")
    for _ in range(2):
        with pytest.raises(exits.Refusal, match="none can be read") as error:
            checkpoints.read_newest(tmp_path)
        assert error.value.code == exits.MISMATCH


def test_data_that_lost_its_index_is_refused_and_not_removed(tmp_path):
    _save(tmp_path, 1)
    (tmp_path / "ckpt-1.index").unlink()
    checkpoints.recover(tmp_path)
    for _ in range(2):
        with pytest.raises(exits.Refusal, match="none can be read"):
            checkpoints.read_newest(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_newest_that_lost_its_index_is_set_aside_with_a_warning(tmp_path, caplog):
    """FAULTS 42: once a newer one is whole, it would be taken for a leftover."""
    for step in (1, 2):
        _save(tmp_path, step)
    (tmp_path / "ckpt-2.index").unlink()
    checkpoints.recover(tmp_path)
    step, _, _ = checkpoints.read_newest(tmp_path)
    assert step == 1
    assert "ckpt-2.data-00000-of-00001: has no index beside it" in caplog.text
    _save(tmp_path, 3)
    checkpoints.recover(tmp_path)
    assert (tmp_path / "damaged-ckpt-2.data-00000-of-00001").is_file()


def test_an_empty_directory_has_none(tmp_path):
    assert checkpoints.read_newest(tmp_path) is None
    assert checkpoints.read_newest(tmp_path / "not there") is None


KILL = """
import os, pathlib, sys
import tensorflow as tf
from trainers import checkpoints
directory, at = pathlib.Path(sys.argv[1]), int(sys.argv[2])
count = 0
def killing(function):
    def killed(*arguments, **options):
        global count
        count += 1
        if count == at:
            os._exit(137)
        return function(*arguments, **options)
    return killed
checkpoints.save(directory, 1, {"step": tf.Variable(1)}, {})
pathlib.Path.rename = killing(pathlib.Path.rename)
pathlib.Path.unlink = killing(pathlib.Path.unlink)
os.fsync = killing(os.fsync)
checkpoints.save(directory, 2, {"step": tf.Variable(2)}, {})
checkpoints.prune(directory, 1, lambda step: True)
"""


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(at, marks=() if at in (2, 6) else pytest.mark.long)
        for at in range(1, 12)
    ],
)
def test_a_kill_within_a_save_leaves_the_one_before_or_the_new_one(tmp_path, at):
    """FAULTS 40 and 41: before each fsync, rename and removal."""
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path), str(at)],
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 137), done.stderr
    checkpoints.recover(tmp_path)
    step, tensors, _ = checkpoints.read_newest(tmp_path)
    assert step == int(tensors["step"])
    assert step == (1 if at < 5 else 2)
    whole = {f"ckpt-{number}" for number in checkpoints.steps(tmp_path)}
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == whole


AGAIN = """
import pathlib, sys
import tensorflow as tf
from trainers import checkpoints
for value in (1, 2):
    checkpoints.save(pathlib.Path(sys.argv[1]), 5, {"a": tf.Variable(value)}, {})
"""


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param("write.after", 1, marks=pytest.mark.long),
        pytest.param("index.before", 1, marks=pytest.mark.long),
        ("ready.between", 2),
        pytest.param("index.after", 2, marks=pytest.mark.long),
    ],
)
def test_a_step_saved_again_has_its_first_checkpoint_or_the_second(
    tmp_path, place, value
):
    """FAULTS 40: a validation that a signal cut short is followed by a second save."""
    killed = subprocess.run(
        [sys.executable, "-c", AGAIN, str(tmp_path)],
        env={**os.environ, fail_points.VARIABLE: f"checkpoint.{place}:2"},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == fail_points.KILLED, killed.stderr
    checkpoints.recover(tmp_path)
    step, tensors, _ = checkpoints.read_newest(tmp_path)
    assert (step, int(tensors["a"])) == (5, value)
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {"ckpt-5"}


FULL = """
import pathlib, resource, sys
import tensorflow as tf
from trainers import checkpoints
directory = pathlib.Path(sys.argv[1])
variables = {"a": tf.Variable(tf.zeros([100_000]))}
checkpoints.save(directory, 1, variables, {})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checkpoints.save(directory, 2, variables, {})
except OSError as error:
    print("OSError", error)
"""


def test_a_full_disk_leaves_the_checkpoints_before_it(tmp_path):
    """FAULTS 43."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("OSError"), done.stderr
    step, _, _ = checkpoints.read_newest(tmp_path)
    assert step == 1


def test_a_disk_without_room_for_two_more_is_warned_of(tmp_path, caplog):
    """FAULTS 43."""
    checkpoints.warn_of_room(tmp_path, 1)
    assert not caplog.records
    checkpoints.warn_of_room(tmp_path, 10**18)
    assert "a checkpoint takes 1000000000000 MB; make room" in caplog.text


def test_the_average_is_the_mean_of_every_tensor(tmp_path):
    for step in (1, 2, 6):
        _save(tmp_path, step)
    prefixes = [checkpoints.path_of(tmp_path, step) for step in (1, 2, 6)]
    mean = checkpoints.average(prefixes)
    np.testing.assert_array_equal(mean["model/a"], [[3.0, 2.0]])


def test_one_checkpoint_is_its_own_average(tmp_path):
    _save(tmp_path, 3)
    mean = checkpoints.average([checkpoints.path_of(tmp_path, 3)])
    np.testing.assert_array_equal(mean["model/a"], np.float32([[3.0, 2.0]]))


def test_what_does_not_read_back_as_it_was_written_is_an_error(tmp_path):
    written = {"a": np.float32([1.0, 2.0])}
    prefix = tmp_path / "it"
    checkpoints.write(prefix, written, {})
    checkpoints._verify(prefix, written)
    with pytest.raises(OSError, match="a reads back otherwise"):
        checkpoints._verify(prefix, {"a": np.float32([1.0, -2.0])})
    damage.flip_a_bit(tmp_path / "it.data-00000-of-00001", 0)
    with pytest.raises(OSError, match="does not read back"):
        checkpoints._verify(prefix, written)


def test_a_save_verifies_what_it_wrote_before_it_gives_it_a_name(tmp_path, monkeypatch):
    write = checkpoints.write

    def on_a_bad_disk(prefix, tensors, run_state):
        write(prefix, tensors, run_state)
        damage.flip_a_bit(prefix.with_suffix(".data-00000-of-00001"), 0)

    monkeypatch.setattr(checkpoints, "write", on_a_bad_disk)
    with pytest.raises(OSError, match="does not read back"):
        _save(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


def test_what_a_signal_or_the_clock_saved_stays_until_the_next_save(tmp_path):
    """So that average:K of a run that was stopped is that of one that was not."""
    kept = []
    for step in (3, 5, 7, 10, 13, 17, 20, 30, 31):
        checkpoints.save(tmp_path, step, {"x": tf.Variable(1.0)}, {})
        checkpoints.prune(tmp_path, 2, lambda step: step % 10 == 0)
        kept.append(checkpoints.steps(tmp_path))
    assert kept == [
        [3],
        [3, 5],
        [5, 7],
        [10],
        [10, 13],
        [10, 17],
        [10, 20],
        [20, 30],
        [20, 30, 31],
    ]
