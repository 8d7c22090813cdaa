import json

import pytest

from pipeline import config as pipeline_config
from pipeline import exits
from trainers import strategy_config

MULTI = strategy_config.StrategyConfig(strategy="multiworker")


def _tf_config(index, workers=2, kind="worker", **others):
    hosts = [f"host{k}:1" for k in range(workers)]
    cluster = {"worker": hosts, **others}
    return {
        "TF_CONFIG": json.dumps(
            {"cluster": cluster, "task": {"type": kind, "index": index}}
        )
    }


def _slurm(number, count):
    return {
        "SLURM_PROCID": str(number),
        "SLURM_STEP_NUM_TASKS": str(count),
        "SLURM_STEP_NODELIST": "node[1-2]",
    }


def test_without_several_processes_this_one_is_the_chief_whatever_is_around():
    for strategy in ("none", "mirrored"):
        asked = strategy_config.StrategyConfig(strategy=strategy)
        assert asked.worker(_tf_config(1)) == strategy_config.ALONE
    assert strategy_config.ALONE.is_chief


def test_the_worker_is_the_one_of_tf_config():
    assert MULTI.worker(_tf_config(1, workers=3)) == (1, 3, False)
    assert not MULTI.worker(_tf_config(1)).is_chief
    assert MULTI.worker(_tf_config(0)).is_chief


def test_the_worker_is_the_one_of_slurm_unless_tf_config_says_otherwise():
    assert MULTI.worker(_slurm(2, 4)) == (2, 4, True)
    assert MULTI.worker(_slurm(2, 4) | _tf_config(0)) == (0, 2, False)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TF_CONFIG": ""},
        {"SLURM_PROCID": "0"},  # sbatch without srun
        _slurm(0, 2) | {"SLURM_PROCID": "a"},
        {"TF_CONFIG": "{"},
        {"TF_CONFIG": "[]"},
        {
            "TF_CONFIG": '{"cluster": {"worker": 2}, '
            '"task": {"type": "worker", "index": 0}}'
        },
        _tf_config(2),
        _tf_config(-1),
        _tf_config(0, kind="chief"),
        _tf_config(0, ps=["host9:1"]),
    ],
    ids=str,
)
def test_an_environment_that_names_no_worker_is_refused(environment):
    with pytest.raises(exits.Refusal) as error:
        MULTI.worker(environment)
    assert error.value.code == exits.USAGE


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"cpu_devices": 0}, "--cpu_devices must be positive"),
        ({"cpu_devices": 2}, "--cpu_devices is of --strategy=mirrored"),
        ({"slurm_port": 0}, "--slurm_port"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        strategy_config.StrategyConfig(**given)


def test_what_is_not_for_replicas_is_refused():
    plain = pipeline_config.BatchConfig()
    automatic = pipeline_config.BatchConfig(tokens_per_batch=pipeline_config.AUTO)
    strategy_config.check(strategy_config.StrategyConfig(), xla=True, batch=automatic)
    strategy_config.check(MULTI, xla=False, batch=plain)
    with pytest.raises(ValueError, match="--xla"):
        strategy_config.check(MULTI, xla=True, batch=plain)
    with pytest.raises(ValueError, match="--tokens_per_batch=auto"):
        strategy_config.check(MULTI, xla=False, batch=automatic)
