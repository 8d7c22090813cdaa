"""Learning rates by step, as plain functions of the step."""

import math
from collections.abc import Callable

from trainers import optimizer_config

Schedule = Callable[[int], float]


def make(config: optimizer_config.ScheduleConfig, num_steps: int) -> Schedule:
    """Returns the learning rate as a function of the step, from 1.

    That of `plateau` is constant here; what validation makes of it comes on top.
    """
    peak, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "inverse_sqrt":
        return lambda step: inverse_sqrt(step, peak=peak, warmup_steps=warmup)
    if config.schedule in ("cosine", "linear"):
        fall = cosine if config.schedule == "cosine" else linear
        return lambda step: fall(
            step,
            peak=peak,
            warmup_steps=warmup,
            num_steps=num_steps,
            final=config.final_rate,
        )
    return lambda step: constant(step, peak=peak, warmup_steps=warmup)


def inverse_sqrt(step: int, *, peak: float, warmup_steps: int) -> float:
    """Returns the Transformer paper's schedule, scaled to a given peak.

    It rises linearly for `warmup_steps` steps, then falls with the inverse square root
    of the step. Vaswani et al. 2017, equation 3, https://arxiv.org/abs/1706.03762,
    where the peak is (d_model * warmup_steps) ** -0.5.

    >>> [inverse_sqrt(step, peak=0.01, warmup_steps=100) for step in (1, 100, 400)]
    [0.0001, 0.01, 0.005]

    Args:
        step: The optimizer step about to be taken, from 1.
        peak: The rate at `warmup_steps`.
        warmup_steps: Steps until the peak; 0 is taken as 1.

    Raises:
        ValueError: If `step` is below 1.
    """
    _check(step)
    warmup = max(warmup_steps, 1)
    falling: float = (warmup / step) ** 0.5
    return peak * min(step / warmup, falling)


def constant(step: int, *, peak: float, warmup_steps: int) -> float:
    """Returns a rate that rises linearly to the peak and stays there.

    >>> [constant(step, peak=0.01, warmup_steps=100) for step in (1, 100, 400)]
    [0.0001, 0.01, 0.01]

    Raises:
        ValueError: If `step` is below 1.
    """
    _check(step)
    return peak * min(step / max(warmup_steps, 1), 1.0)


def linear(
    step: int, *, peak: float, warmup_steps: int, num_steps: int, final: float
) -> float:
    """Returns a rate that rises to the peak, then falls along a line.

    >>> shape = {"peak": 0.01, "warmup_steps": 100, "num_steps": 300, "final": 0.0}
    >>> [linear(step, **shape) for step in (50, 100, 200, 300)]
    [0.005, 0.01, 0.005, 0.0]

    Args:
        step: The optimizer step about to be taken, from 1.
        peak: The rate at `warmup_steps`.
        warmup_steps: Steps until the peak.
        num_steps: The step at which it ends.
        final: Share of the peak left there.

    Raises:
        ValueError: If `step` is below 1.
    """
    left = 1 - _done(step, warmup_steps, num_steps)
    rise = constant(step, peak=peak, warmup_steps=warmup_steps)
    return rise * (final + (1 - final) * left)


def cosine(
    step: int, *, peak: float, warmup_steps: int, num_steps: int, final: float
) -> float:
    """Returns a rate that rises to the peak, then falls along half a cosine.

    Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, equation 5, without
    restarts.

    >>> shape = {"peak": 0.01, "warmup_steps": 100, "num_steps": 300, "final": 0.0}
    >>> [round(cosine(step, **shape), 9) for step in (50, 100, 200, 300)]
    [0.005, 0.01, 0.005, 0.0]

    Args:
        step: The optimizer step about to be taken, from 1.
        peak: The rate at `warmup_steps`.
        warmup_steps: Steps until the peak.
        num_steps: The step at which it ends.
        final: Share of the peak left there.

    Raises:
        ValueError: If `step` is below 1.
    """
    left = (1 + math.cos(math.pi * _done(step, warmup_steps, num_steps))) / 2
    rise = constant(step, peak=peak, warmup_steps=warmup_steps)
    return rise * (final + (1 - final) * left)


def _done(step: int, warmup_steps: int, num_steps: int) -> float:
    """Returns which share of the steps after the warm-up is over, in [0, 1]."""
    falling = max(num_steps - warmup_steps, 1)
    return min(max(step - warmup_steps, 0) / falling, 1.0)


def _check(step: int) -> None:
    if step < 1:
        raise ValueError(f"steps count from 1, got {step}")
