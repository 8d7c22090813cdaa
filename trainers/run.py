"""Everything a run consists of."""

import dataclasses

from pipeline import data_sources
from pipeline import plan as plan_lib
from trainers import (
    clock,
    config,
    replicas,
    run_directory,
    run_state,
    signals,
    tasks,
    train_step,
    validation,
)


@dataclasses.dataclass
class Run:
    """Everything a run consists of, ready for the next step."""

    config: config.TrainConfig
    task: tasks.Task
    directory: run_directory.RunDirectory
    step: train_step.TrainStep
    validation: validation.Validate | None
    source: data_sources.Source
    cursor: plan_lib.Cursor
    state: run_state.RunState
    watch: clock.Clock
    stop: signals.StopRequest
    over: replicas.Replicas

    @property
    def next_step(self) -> int:
        """The step about to be taken, from 1."""
        return int(self.step.step.numpy()) + 1
