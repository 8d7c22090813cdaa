"""Promise P1 under XLA, which compiles each shape of batch: no step waits for it."""

import json

import pytest

from pipeline import config, dataset, fail_points
from tests import programs, small_runs, xla_dumps


@pytest.mark.long
@pytest.mark.parametrize(("num_buckets", "accumulate_steps"), [(2, 1), (1, 2)])
def test_every_shape_of_the_plan_is_compiled_once_and_before_the_first_step(
    data_dir, tmp_path, num_buckets, accumulate_steps
):
    flags = small_runs.flags(
        data_dir,
        tmp_path / "run",
        *("--xla", "--num_steps=12", "--log_every_steps=1", "--eval_every_steps=0"),
        f"--num_buckets={num_buckets}",
        f"--accumulate_steps={accumulate_steps}",
    )
    asked = config.BatchConfig(tokens_per_batch=512, num_buckets=num_buckets)
    plan = dataset.from_directory(str(data_dir), batch=asked).source.plan
    wanted = len(set(plan.shapes())) * accumulate_steps
    for place, code in (("log.before:1", fail_points.KILLED), ("", 0)):
        dumps = tmp_path / f"dumps-{code}"
        done = programs.run(
            "trainers.seq2seq",
            *flags,
            **{fail_points.VARIABLE: place, xla_dumps.VARIABLE: xla_dumps.flags(dumps)},
        )
        assert done.returncode == code, done.stderr
        assert xla_dumps.num_compiled(dumps) == wanted
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["batch_shapes"] > 1
    assert summary["train_step_traces"] == 1
