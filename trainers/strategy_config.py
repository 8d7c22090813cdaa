"""Over how many devices and processes a run is spread, as flags and environment say."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import NamedTuple

from pipeline import config as pipeline_config
from pipeline import exits, knobs

_TF_CONFIG = "TF_CONFIG"
_SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST")


class Worker(NamedTuple):
    """A process of a run.

    Attributes:
        number: From 0; number 0 is the chief, which writes checkpoints.
        num_workers: How many there are.
        is_of_slurm: Whether Slurm started it, so that TensorFlow asks Slurm for the
            others.
    """

    number: int = 0
    num_workers: int = 1
    is_of_slurm: bool = False

    @property
    def is_chief(self) -> bool:
        """Whether this one writes what all share."""
        return self.number == 0


ALONE = Worker()


@dataclasses.dataclass(frozen=True, kw_only=True)
class StrategyConfig:
    """Devices and hosts."""

    strategy: str = knobs.knob(
        "none",
        "Who takes the step: one device; every GPU of this host (mirrored); or the "
        "processes that TF_CONFIG or Slurm name, each with all GPUs of its host "
        "(multiworker). The parts that a batch is split into must divide --plan_lanes.",
        choices=("none", "mirrored", "multiworker"),
        may_change=True,
    )
    cpu_devices: int = knobs.knob(
        1,
        "Of --strategy=mirrored on a machine without a GPU: into how many devices its "
        "processor is split, to try what several GPUs would do.",
        may_change=True,
    )
    slurm_port: int = knobs.knob(
        8888,
        "Of --strategy=multiworker under Slurm: the first port of the workers of a "
        "host.",
        may_change=True,
    )

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be or does not go together."""
        knobs.require_positive(self, "cpu_devices")
        if self.cpu_devices > 1 and self.strategy != "mirrored":
            raise ValueError("--cpu_devices is of --strategy=mirrored")
        knobs.require_in(self, "[1, 65535]", "slurm_port")

    def worker(self, environment: Mapping[str, str] = os.environ) -> Worker:
        """Returns which process of the run this one is.

        Raises:
            exits.Refusal: With `USAGE` if the environment does not say.
        """
        if self.strategy != "multiworker":
            return ALONE
        if environment.get(_TF_CONFIG):
            return _of_tf_config(environment[_TF_CONFIG])
        if all(name in environment for name in _SLURM):
            try:
                number, count = (int(environment[name]) for name in _SLURM[:2])
            except ValueError as error:
                raise exits.Refusal(
                    exits.USAGE, f"{' or '.join(_SLURM[:2])}: no number: {error}"
                ) from None
            return Worker(number, count, is_of_slurm=True)
        raise exits.Refusal(
            exits.USAGE,
            "--strategy=multiworker: neither TF_CONFIG nor Slurm (srun) says who the "
            "workers are; start them with trainers.launch --num_workers=N, or with "
            "srun",
        )


def check(asked: StrategyConfig, xla: bool, batch: pipeline_config.BatchConfig) -> None:
    """Refuses what is not for several replicas.

    Raises:
        ValueError: If something is not.
    """
    if asked.strategy == "none":
        return
    if xla:
        raise ValueError(f"--xla is not for --strategy={asked.strategy}")
    if (
        asked.strategy == "multiworker"
        and batch.tokens_per_batch == pipeline_config.AUTO
    ):
        raise ValueError(
            "--tokens_per_batch=auto is not for --strategy=multiworker: try it on one "
            "host, then give the number"
        )


def _of_tf_config(text: str) -> Worker:
    """Returns the worker that TensorFlow's own variable describes."""
    try:
        described = json.loads(text)
        count = len(described["cluster"]["worker"])
        task = described["task"]
        number, kind = int(task["index"]), task["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise exits.Refusal(
            exits.USAGE,
            f'TF_CONFIG={text}: want {{"cluster": {{"worker": ["host:port", ...]}}, '
            f'"task": {{"type": "worker", "index": 0}}}} ({error!r})',
        ) from None
    others = sorted(described["cluster"].keys() - {"worker"})
    if kind != "worker" or others or not 0 <= number < count:
        raise exits.Refusal(
            exits.USAGE,
            f"TF_CONFIG={text}: every task must be a worker, numbered from 0; worker 0 "
            "is the chief",
        )
    return Worker(number, count)
