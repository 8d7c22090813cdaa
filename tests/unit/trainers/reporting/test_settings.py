from trainers import run_directory
from trainers.reporting import settings


def test_chosen_flags_are_those_that_differ_from_their_defaults(tmp_path):
    (tmp_path / "run.flags").write_text(
        "# a comment\n--data_dir=d\n--workdir=w\n--num_steps=10000\n--seed=2\n"
        "--xla=true\n--no_decay=bias,scale,offset\n--of_another_version=1=2\n"
    )
    flags = run_directory.flags_of(tmp_path)
    assert flags["of_another_version"] == "1=2"
    assert settings.chosen(flags) == {
        "seed": ("2", "1"),
        "xla": ("true", "false"),
        "of_another_version": ("1=2", ""),
    }


def test_flags_differ_where_one_run_has_them_and_the_other_not():
    one = {"workdir": "a", "seed": "1", "d_ff": "8", "clip_norm": "1.0", "x": "1"}
    other = {"workdir": "b", "seed": "2", "d_ff": "8"}
    one["beta1"] = "0.9"  # as it is where nobody says otherwise
    found = settings.differing([one, other])
    assert found == {
        "seed": ["1", "2"],
        "clip_norm": ["1.0", "0.0"],
        "x": ["1", ""],
    }


def test_flags_that_are_not_utf_8_can_be_shown(tmp_path):
    (tmp_path / "run.flags").write_bytes(b"--data_dir=d\xe9\n--seed=2\n")
    found = run_directory.flags_of(tmp_path)
    assert found == {"data_dir": "d\ufffd", "seed": "2"}
