"""How a gradient becomes an update, and at which rate, as flags."""

import dataclasses

from pipeline import knobs

_OF_SCHEDULES = {
    ("cosine", "linear"): ("final_rate",),
    ("plateau",): ("plateau_factor", "plateau_patience"),
}
_OF_OPTIMIZERS = {
    "adam": {"beta1", "beta2", "epsilon"},
    "adamw": {"beta1", "beta2", "epsilon"},
    "adafactor": set[str](),
    "sgd": {"momentum"},
    "lion": {"beta1", "beta2"},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer."""

    optimizer: str = knobs.knob(
        "adam",
        "What a gradient does to the weights.",
        choices=tuple(_OF_OPTIMIZERS),
    )
    beta1: float = knobs.knob(0.9, "Decay of the first moment of Adam and Lion.")
    beta2: float = knobs.knob(
        0.98, "Decay of Adam's second moment, and of Lion's only one."
    )
    epsilon: float = knobs.knob(1e-9, "Added to the root of Adam's second moment.")
    momentum: float = knobs.knob(0.9, "Of --optimizer=sgd.")
    weight_decay: float = knobs.knob(
        0.0,
        "Share of a weight, times the learning rate, taken away at each step; not with "
        "--optimizer=adam.",
    )
    no_decay: tuple[str, ...] = knobs.knob(
        ("bias", "scale", "offset"),
        "Last parts of the names of weights that do not decay.",
    )
    clip_norm: float = knobs.knob(
        0.0, "Gradients are scaled down to this global norm; 0 for never."
    )
    accumulate_steps: int = knobs.knob(
        1, "Batches whose gradients are added up to one update."
    )
    ema_decay: float = knobs.knob(
        0.0,
        "Decay of a moving average of the weights, kept beside them, with which the "
        "run is validated and decoded; 0 for none.",
    )
    max_bad_steps: int = knobs.knob(
        100,
        "Steps in a row without a finite gradient, each of them skipped, after which "
        "the run ends with exit code 70.",
        may_change=True,
    )

    def __post_init__(self) -> None:
        """Raises ValueError for values with which an optimizer is undefined."""
        knobs.require_in(self, "[0, 1)", "beta1", "beta2", "momentum", "ema_decay")
        knobs.require_positive(self, "epsilon")
        knobs.require_at_least(self, 0, "clip_norm", "weight_decay")
        knobs.require_positive(self, "accumulate_steps", "max_bad_steps")
        if self.weight_decay and self.optimizer == "adam":
            raise ValueError("--weight_decay is of --optimizer=adamw, not of adam")

    def without_effect(self) -> list[str]:
        """Returns the flags that were given and that this optimizer does not read."""
        idle = set[str]().union(*_OF_OPTIMIZERS.values())
        idle -= _OF_OPTIMIZERS[self.optimizer]
        if not self.weight_decay:
            idle.add("no_decay")
        return knobs.given_beside(self, knobs.names(self) - idle)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Learning rate."""

    schedule: str = knobs.knob(
        "inverse_sqrt",
        "After the warm-up: falls with the inverse square root of the step, along a "
        "cosine or a line until the last step, stays, or falls by --plateau_factor "
        "when validation does not get better.",
        choices=("inverse_sqrt", "cosine", "linear", "constant", "plateau"),
    )
    learning_rate: float = knobs.knob(2e-3, "The peak, reached when warm-up ends.")
    warmup_steps: int = knobs.knob(1000, "Steps of linear rise to the peak.")
    final_rate: float = knobs.knob(
        0.0, "Share of the peak where cosine and linear end, at --num_steps."
    )
    plateau_factor: float = knobs.knob(
        0.5, "With --schedule=plateau: what the rate is multiplied by."
    )
    plateau_patience: int = knobs.knob(
        2, "With --schedule=plateau: validations without a better one until then."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for a rate or a warm-up that cannot be."""
        knobs.require_in(self, "(0, 10)", "learning_rate")
        knobs.require_at_least(self, 0, "warmup_steps")
        knobs.require_in(self, "[0, 1]", "final_rate")
        knobs.require_in(self, "(0, 1)", "plateau_factor")
        knobs.require_positive(self, "plateau_patience")
        for others, names in _OF_SCHEDULES.items():
            if self.schedule not in others:
                needed = f"--schedule={' or '.join(others)}"
                knobs.refuse_without_effect(self, names, needed)

    @property
    def depends_on_num_steps(self) -> bool:
        """Whether another --num_steps would change the steps before it."""
        return self.schedule in ("cosine", "linear")
