"""Learning rates by step, as plain functions of the step."""

from collections.abc import Callable

from trainers import config as config_lib

Schedule = Callable[[int], float]


def make(config: config_lib.ScheduleConfig) -> Schedule:
    """Returns the learning rate as a function of the step, from 1."""
    peak, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "constant":
        return lambda step: constant(step, peak=peak, warmup_steps=warmup)
    return lambda step: inverse_sqrt(step, peak=peak, warmup_steps=warmup)


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
    return peak * min(step / warmup, (warmup / step) ** 0.5)


def constant(step: int, *, peak: float, warmup_steps: int) -> float:
    """Returns a rate that rises linearly to the peak and stays there.

    >>> [constant(step, peak=0.01, warmup_steps=100) for step in (1, 100, 400)]
    [0.0001, 0.01, 0.01]

    Raises:
        ValueError: If `step` is below 1.
    """
    _check(step)
    return peak * min(step / max(warmup_steps, 1), 1.0)


def _check(step: int) -> None:
    if step < 1:
        raise ValueError(f"steps count from 1, got {step}")
