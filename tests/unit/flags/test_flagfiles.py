"""Every committed flagfile parses, by the program its name begins with."""

import pathlib

import pytest

from flags import binding
from preprocessing import config as preprocessing_config
from trainers import config as trainers_config
from trainers import seq2vec_config

FOLDER = pathlib.Path(__file__).parents[3] / "flags"
PROGRAMS = {
    "preprocess": preprocessing_config.BuildConfig,
    "seq2seq": trainers_config.Seq2SeqConfig,
    "seq2vec": seq2vec_config.Seq2VecConfig,
}
WANTED = {
    "preprocess_agnews",
    "preprocess_banking77",
    "preprocess_cmudict",
    "preprocess_cmudict_dev",
    "preprocess_fraeng",
    "preprocess_multi30k_ende",
    "preprocess_numbers",
    "preprocess_scan",
    "preprocess_scitldr",
    "preprocess_sst2",
    "preprocess_trec",
    "seq2seq_cmudict",
    "seq2seq_cmudict_lstm",
    "seq2seq_cmudict_lstm_plain",
    "seq2seq_cmudict_transformer",
    "seq2seq_fraeng",
    "seq2seq_multi30k_ende",
    "seq2seq_multi30k_ende_20min",
    "seq2seq_multi30k_ende_90min",
    "seq2seq_multi30k_ende_lstm",
    "seq2seq_numbers",
    "seq2seq_numbers_lstm",
    "seq2seq_scan",
    "seq2seq_scan_lstm",
    "seq2seq_scitldr",
    "seq2seq_shallow_decoder",
    "seq2seq_transformer_base",
    "seq2vec_agnews",
    "seq2vec_banking77",
    "seq2vec_sst2",
    "seq2vec_trec",
}


def test_the_flagfiles_that_the_documents_name_are_there():
    assert {path.stem for path in FOLDER.glob("*.flags")} == WANTED


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_flagfile_parses(name, monkeypatch):
    monkeypatch.chdir(FOLDER.parent)
    program = PROGRAMS[name.partition("_")[0]]
    required = ["--data_dir=data", "--workdir=work"]
    if program is preprocessing_config.BuildConfig:
        required = required[:1]
    parsed = binding.parse([*required, f"--flagfile=flags/{name}.flags"], program)
    if program is not preprocessing_config.BuildConfig:
        assert parsed.model.without_effect() == []


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_flagfile_says_where_its_values_come_from(name):
    lines = (FOLDER / f"{name}.flags").read_text().splitlines()
    assert lines[0].startswith("# ")
