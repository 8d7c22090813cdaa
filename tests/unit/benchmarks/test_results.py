import re

import pytest

from flags import binding
from preprocessing import config as preprocessing_config
from tests.benchmarks import results
from trainers import config, seq2vec_config

CONFIGS = {
    "preprocessing.build": preprocessing_config.BuildConfig,
    "trainers.seq2seq": config.Seq2SeqConfig,
    "trainers.seq2vec": seq2vec_config.Seq2VecConfig,
}


@pytest.mark.parametrize("name", results.ROWS)
def test_the_commands_of_a_row_parse(name, monkeypatch):
    monkeypatch.chdir(results.ROOT)
    *made, score = results.commands(name, 2)
    for module, *flags in made:
        parsed = binding.parse(flags, CONFIGS[module])
    assert parsed.run.seed == 2
    assert score[0] == "trainers.evaluate"
    assert f"--workdir={parsed.run.workdir}" in score


def test_a_row_with_other_flags_has_a_directory_of_its_own(monkeypatch):
    monkeypatch.chdir(results.ROOT)
    changes = ["--attention=luong", "--init_from=a/b"]
    _, (_, *flags), score = results.commands("numbers_lstm", 2, changes)
    parsed = binding.parse(flags, config.Seq2SeqConfig)
    assert parsed.model.rnn.attention == "luong"
    plain = results.commands("numbers_lstm", 2)[2][1]
    assert score[1] == f"{plain}+attention=luong+init_from=a_b"
    assert score[1] == f"--workdir={parsed.run.workdir}"


def test_the_page_of_results_names_rows_that_there_are():
    page = (results.ROOT / "RESULTS.md").read_text(encoding="utf-8")
    named = set(re.findall(r"ROW=(\w+)", page))
    assert named
    assert named <= results.ROWS.keys()
