"""The training loop. It knows nothing of logs, checkpoints or models."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Batch = TypeVar("Batch")
Action = Callable[[int], None]


def run(
    train_step: Callable[[Batch, float], None],
    batches: Iterator[Batch],
    learning_rate: Callable[[int], float],
    actions: Sequence[Action],
    *,
    first_step: int,
    num_steps: int,
) -> None:
    """Takes steps `first_step` to `num_steps`, and after each lets every action act.

    Args:
        train_step: Updates the model from one batch at a learning rate.
        batches: Endless; one is taken a step.
        learning_rate: Of a step.
        actions: Called in order as action(step). The one that saves comes last, so that
            a checkpoint holds what the others did.
        first_step: 1, or the step after the restored one.
        num_steps: The last step, included.
    """
    for step in range(first_step, num_steps + 1):
        train_step(next(batches), learning_rate(step))
        for action in actions:
            action(step)
