"""Models beside the Transformer, trained, resumed, evaluated as programs."""

import json

import pytest

from pipeline import exits
from tests import programs
from trainers import checkpoints

SMALL = (
    *("--d_model=16", "--num_layers=1", "--tokens_per_batch=512", "--num_steps=12"),
    *("--warmup_steps=4", "--eval_every_steps=6", "--save_every_steps=6"),
)


@pytest.mark.long
def test_a_recurrent_model_is_resumed_exactly_and_searched(data_dir, tmp_path):
    """Promises P1 and P2."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    common = [f"--data_dir={data_dir}", "--model=rnn", *SMALL]
    common += ["--sampling_probability=0.3", "--accumulate_steps=2"]
    programs.succeed("trainers.seq2seq", *common, f"--workdir={whole}")
    for steps in (6, 12):
        programs.succeed(
            *("trainers.seq2seq", *common, f"--workdir={parts}"),
            f"--num_steps={steps}",
        )
    assert json.loads((whole / "summary.json").read_text())["train_step_traces"] == 1
    one, other = (
        checkpoints.read_newest(path / "checkpoints")[1] for path in (whole, parts)
    )
    assert {name: value.tobytes() for name, value in one.items()} == {
        name: value.tobytes() for name, value in other.items()
    }
    flags = [f"--workdir={whole}", "--split=test", "--beam_size=2"]
    out = programs.succeed("trainers.evaluate", *flags)
    assert json.loads(out.splitlines()[-1])["examples"] == 20


@pytest.mark.long
def test_repeat_vector_is_scored_and_refuses_a_beam(data_dir, tmp_path):
    work = f"--workdir={tmp_path}"
    done = programs.run(
        *("trainers.seq2seq", f"--data_dir={data_dir}", work),
        *("--model=repeat_vector", *SMALL, "--attention=luong"),
    )
    assert done.returncode == 0, done.stderr
    assert "without effect in this run: --attention=luong\n" in done.stderr
    out = programs.succeed("trainers.evaluate", work, "--split=test")
    assert json.loads(out.splitlines()[-1])["examples"] == 20
    for program in ("trainers.evaluate", "trainers.translate"):
        done = programs.run(program, work, "--beam_size=2")
        assert done.returncode == exits.USAGE, done.stderr
        (line,) = (x for x in done.stderr.splitlines() if "sluice: " in x)
        assert "--beam_size=2" in line
