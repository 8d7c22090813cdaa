import pytest

from trainers import run_directory
from trainers.reporting import samples


def test_samples_are_read_as_a_run_writes_them(tmp_path):
    directory = run_directory.RunDirectory(tmp_path)
    one = "  source      a b\n  hypothesis  x\n  reference   x y  |  z\n\n"
    two = "  source      \u2028c\n  hypothesis  \n  reference   == step 9\n\n"
    directory.append_samples(100, one + two)
    directory.append_samples(200, one)
    found = samples.read(tmp_path)
    assert list(found) == [100, 200]
    assert found[100] == [
        samples.Sample("a b", "x", ["x y", "z"]),
        samples.Sample("\u2028c", "", ["== step 9"]),
    ]


def test_half_a_sample_of_a_killed_run_is_left_out(tmp_path):
    path = tmp_path / run_directory.SAMPLES
    path.write_text("== step 5\n\n  source      a\n  hypothesis  b\n  refer")
    assert samples.read(tmp_path) == {5: []}


@pytest.mark.parametrize("half", ["== step ", "== step 5", "  reference   x"])
def test_half_a_line_of_a_full_disk_is_left_out(tmp_path, half):
    one = "  source      a\n  hypothesis  x\n  reference   x\n\n"
    directory = run_directory.RunDirectory(tmp_path)
    directory.append_samples(5, one)
    whole = samples.read(tmp_path)
    with (tmp_path / run_directory.SAMPLES).open("a") as file:
        file.write(half)
    assert samples.read(tmp_path) == whole


def test_a_run_without_samples_has_none(tmp_path):
    assert samples.read(tmp_path) == {}


def test_a_right_hypothesis_has_the_highest_score():
    right = samples.Sample("a", "the house", ["the house"])
    wrong = samples.Sample("a", "a boat", ["the house"])
    assert right.chrf() == 100
    assert wrong.chrf() < 30


def test_case_counts_only_where_the_data_has_any():
    shouted = samples.Sample("a", "the house", ["The HOUSE"])
    assert shouted.chrf() < 60
    assert shouted.chrf(lowercase=True) == 100
