import json

import pytest

from tests.benchmarks import record


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of one module, which prints its arguments and ends as they say."""
    code = "import sys; print('a table'); print('[\"' + sys.argv[1] + '\"]')"
    (tmp_path / "measure.py").write_text(f"{code}; sys.exit(int(sys.argv[2]))")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_run_is_a_line_with_what_its_figures_depend_on(folder, capfd):
    assert record.main(["measure", "first", "0"]) == 0
    assert record.main(["measure", "second", "0"]) == 0
    assert "a table" in capfd.readouterr().out
    lines = (folder / record.LOG).read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [entry["result"] for entry in found] == [["first"], ["second"]]
    assert found[0]["command"] == ["measure", "first", "0"]
    assert found[0]["machine"]["cpus"]
    assert found[0]["begun"].endswith("+00:00")


def test_a_failure_is_no_figure(folder):
    assert record.main(["measure", "first", "3"]) == 3
    assert not (folder / record.LOG).exists()
