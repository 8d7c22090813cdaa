import json

import pytest

from pipeline import exits
from trainers import run_directory


def test_logs_are_cut_after_the_restored_step_and_half_a_line_goes(tmp_path):
    """FAULTS 50."""
    directory = run_directory.RunDirectory(tmp_path / "work")
    for step in (10, 20, 20, 30):
        directory.append(run_directory.METRICS, {"step": step})
    with (directory.path / run_directory.METRICS).open("a") as file:
        file.write('{"step": 2')
    directory.truncate_logs(20)
    text = (directory.path / run_directory.METRICS).read_text()
    assert [json.loads(line)["step"] for line in text.splitlines()] == [10, 20, 20]
    assert text.endswith("\n")


@pytest.mark.parametrize("line", ["{", "[]", "{}"])
def test_a_log_with_a_line_that_is_none_is_bad_data_and_stays(tmp_path, line):
    directory = run_directory.RunDirectory(tmp_path)
    log = tmp_path / run_directory.METRICS
    log.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(exits.Refusal, match=run_directory.METRICS) as error:
        directory.truncate_logs(1)
    assert error.value.code == exits.BAD_DATA
    assert log.read_text().count("\n") == 3


def test_samples_are_cut_whatever_their_texts_say(tmp_path):
    directory = run_directory.RunDirectory(tmp_path)
    text = "  source      press == step two, == step 3\n\n"
    for step in (10, 20, 30):
        directory.append_samples(step, text)
    whole = (tmp_path / run_directory.SAMPLES).read_text()
    directory.truncate_logs(20)
    kept = (tmp_path / run_directory.SAMPLES).read_text()
    assert whole.startswith(kept)
    assert kept.count("== step 10\n") == kept.count("== step 20\n") == 1
    assert "== step 30\n" not in kept
    assert kept.count("press") == 2


@pytest.mark.parametrize("half", ["== step 3", "== st", "== step 30\n\n  source  ü"])
def test_samples_that_a_full_disk_cut_go_whole(tmp_path, half):
    """FAULTS 50; the last byte is cut off too, which can be half a character."""
    directory = run_directory.RunDirectory(tmp_path)
    for step in (10, 20):
        directory.append_samples(step, "  source      a\r b\n\n")
    path = tmp_path / run_directory.SAMPLES
    whole = path.read_bytes()
    path.write_bytes(whole + half.encode()[:-1])
    directory.truncate_logs(20)
    assert path.read_bytes() == whole


def test_without_a_checkpoint_the_logs_begin_anew(tmp_path):
    directory = run_directory.RunDirectory(tmp_path)
    directory.append(run_directory.METRICS, {"step": 1})
    directory.truncate_logs(0)
    assert (tmp_path / run_directory.METRICS).read_text() == ""


def test_a_directory_that_is_no_run_is_missing_input(tmp_path):
    with pytest.raises(exits.Refusal, match=f"--workdir={tmp_path}") as error:
        run_directory.flagfile(tmp_path)
    assert error.value.code == exits.MISSING_INPUT


def test_the_flagfile_of_a_run_has_its_flags(tmp_path):
    directory = run_directory.RunDirectory(tmp_path)
    directory.write_flags(["--a=1", "--b=2"])
    lines = run_directory.flagfile(tmp_path).read_text().splitlines()
    assert lines[1:] == ["--a=1", "--b=2"]
    assert lines[0].startswith("#")


def test_flags_that_changed_since_are_told(tmp_path):
    directory = run_directory.RunDirectory(tmp_path)
    assert directory.write_flags(["--seed=1", "--log_every_steps=7"]) == {}
    assert directory.write_flags(["--seed=1", "--log_every_steps=7"]) == {}
    assert directory.write_flags(["--seed=1", "--mix=a:1,b:2"]) == {
        "--log_every_steps": "7 -> ",
        "--mix": " -> a:1,b:2",
    }
    assert (tmp_path / "run.flags").read_text().endswith("\n--mix=a:1,b:2\n")
