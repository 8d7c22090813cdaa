"""Runs that begin from something, and settings that the machine decides."""

import json

import pytest

from tests import programs, small_runs

TRAIN = "trainers.seq2seq"


def _flags(data_dir, workdir, *more: str) -> list[str]:
    return small_runs.flags(
        data_dir,
        workdir,
        *("--num_buckets=2", "--warmup_steps=5"),
        *("--num_steps=12", "--eval_every_steps=12", "--eval_examples=0"),
        *more,
    )


def _valid_loss(workdir) -> float:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return json.loads(lines[-1])["valid_loss"]


@pytest.mark.long
def test_a_run_begins_where_another_was_and_leaves_what_is_frozen(
    data_dir, own_data_dir, tmp_path
):
    """Issue: fewer steps to the same loss, and a vocabulary that is another."""
    budget = "--tokens_per_batch=512"
    programs.succeed(TRAIN, *_flags(data_dir, tmp_path / "first", budget))
    scratch = _flags(own_data_dir, tmp_path / "scratch", budget, "--num_steps=2")
    programs.succeed(TRAIN, *scratch)
    started = _flags(
        own_data_dir,
        tmp_path / "second",
        *(budget, "--num_steps=2", "--ema_decay=0.5"),
        *(f"--init_from={tmp_path / 'first'}", "--freeze=encoder"),
    )
    said = programs.run(TRAIN, *started)
    assert said.returncode == 0, said.stderr
    assert "begun from" in said.stderr
    assert "subwords" in said.stderr
    report = json.loads((tmp_path / "second" / "init_from.json").read_text())
    assert "encoder/0/attention/query/kernel" in report[0]["taken"]
    assert _valid_loss(tmp_path / "second") < _valid_loss(tmp_path / "scratch")
    summaries = [
        json.loads((tmp_path / name / "summary.json").read_text())
        for name in ("scratch", "second")
    ]
    assert summaries[1]["num_weights"] < summaries[0]["num_weights"]
    wrong = programs.run(TRAIN, *started, "--freeze=coder")
    assert wrong.returncode == 64
    assert "--freeze=coder" in wrong.stderr


@pytest.mark.long
def test_a_budget_that_memory_decides_is_kept_by_a_resumed_run(data_dir, tmp_path):
    flags = _flags(
        data_dir,
        tmp_path,
        "--tokens_per_batch=auto",
        "--deterministic",
        "--clip_norm=1",
    )
    first = programs.run(TRAIN, *flags)
    assert first.returncode == 0, first.stderr
    (line,) = [line for line in first.stderr.splitlines() if "auto is" in line]
    tokens = int(line.rpartition(" ")[2])
    assert f"--tokens_per_batch={tokens}" in (tmp_path / "run.flags").read_text()
    assert json.loads((tmp_path / "summary.json").read_text())["train_step_traces"] == 1
    again = programs.run(TRAIN, *flags, "--num_steps=14")
    assert f"auto is {tokens}" in again.stderr
    assert "resumed after step 12" in again.stderr


@pytest.mark.long
def test_a_budget_that_memory_decides_holds_the_longest_that_is_allowed(
    data_dir, tmp_path
):
    asked = ("--tokens_per_batch=auto", "--max_length=8000")
    done = programs.run(TRAIN, *_flags(data_dir, tmp_path, *asked))
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "auto is" in line]
    assert int(line.rpartition(" ")[2]) >= 8000
