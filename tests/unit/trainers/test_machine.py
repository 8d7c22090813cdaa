import pytest

from trainers import machine


def test_the_same_machine_is_no_difference():
    now = machine.describe()
    assert machine.differences(now, machine.describe()) == {}
    assert machine.differences({}, now) == {}  # of a version that noted nothing


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("TF_ENABLE_ONEDNN_OPTS", "0", {"onednn": " -> 0"}),
        (
            "TF_NUM_INTRAOP_THREADS",
            "1",
            {"threads": " -> TF_NUM_INTRAOP_THREADS=1"},
        ),
    ],
)
def test_what_changes_bits_is_a_difference(name, value, what, monkeypatch):
    """FAULTS 48."""
    monkeypatch.delenv(name, raising=False)
    before = machine.describe()
    monkeypatch.setenv(name, value)
    assert machine.differences(before, machine.describe()) == what


@pytest.mark.parametrize("name", ["tensorflow", "keras", "cuda", "gpus", "cpu"])
def test_another_build_or_device_is_a_difference(name):
    now = machine.describe()
    before = {**now, name: "another"}
    assert machine.differences(before, now) == {name: f"another -> {now[name]}"}


def test_replicas_that_were_not_noted_were_one():
    assert machine.differences({}, machine.describe(2)) == {"replicas": "1 -> 2"}
