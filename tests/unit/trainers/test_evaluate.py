import json
import os
import pathlib

import pytest

from pipeline import exits
from trainers import evaluate, score_tables

NOWHERE = pathlib.Path(os.devnull)
REPORT = score_tables.Report("  accuracy 0.5", {"split": "test", "accuracy": 0.5})


def test_the_json_is_the_last_line_and_the_file(tmp_path, capsys):
    evaluate.tell(REPORT, tmp_path, "test")
    shown, last = capsys.readouterr().out.splitlines()
    assert shown == REPORT.shown
    assert json.loads(last) == REPORT.result
    assert (tmp_path / "evaluate_test.json").read_text() == f"{last}\n"


def test_what_stands_beside_the_result_has_its_name(tmp_path):
    def write_more(name):
        (tmp_path / f"more_{name}").touch()

    evaluate.tell(REPORT._replace(write_more=write_more), tmp_path, "test_other")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["evaluate_test_other.json", "more_test_other"]


def test_scores_are_told_where_no_file_can_be_written(tmp_path, capsys):
    """FAULTS 61."""
    in_the_way = tmp_path / "evaluate_test.json"
    in_the_way.mkdir()
    with pytest.raises(exits.Refusal) as refused:
        evaluate.tell(REPORT, tmp_path, "test")
    assert refused.value.code == 74
    assert str(refused.value).startswith(f"{in_the_way}: cannot be written (Is a dir")
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == REPORT.result


def test_a_reader_that_has_gone_away_leaves_the_file(tmp_path, monkeypatch):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as gone, NOWHERE.open("w") as nowhere:
        monkeypatch.setattr("sys.stdout", gone)
        with pytest.raises(BrokenPipeError):
            evaluate.tell(REPORT, tmp_path, "test")
        os.dup2(nowhere.fileno(), gone.fileno())  # what is left to say goes there
    assert json.loads((tmp_path / "evaluate_test.json").read_text()) == REPORT.result
