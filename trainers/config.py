"""What a training run is asked to do; flags parse without TensorFlow."""

import dataclasses
import pathlib

from pipeline import config as pipeline_config
from pipeline import knobs, locations
from trainers.models import config as model_config


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Run."""

    data_dir: str = knobs.knob(
        help_text="The data directory, from preprocessing.build.", may_change=True
    )
    workdir: str = knobs.knob(
        help_text="Where checkpoints and logs go; the same command goes on from there.",
        may_change=True,
    )
    model: str = knobs.knob(
        "transformer",
        "The model: the Transformer, or a Keras model of your own.",
        choices=("transformer", "keras"),
    )
    keras_model: str | None = knobs.knob(
        None,
        "With --model=keras: module:function; called with both vocabulary sizes, it "
        "returns a Keras model of (src_ids, tgt_in_ids) to logits.",
    )
    seed: int = knobs.knob(1, "Of initial weights, dropout and the order of examples.")
    num_steps: int = knobs.knob(10_000, "Optimizer updates in all.", may_change=True)
    max_train_secs: float = knobs.knob(
        0.0,
        "Ends after so many seconds of training, over all resumes; 0 for no limit.",
        may_change=True,
    )
    label_smoothing: float = knobs.knob(
        0.1, "Target mass spread over all subwords, in [0, 1)."
    )
    log_every_steps: int = knobs.knob(
        100, "Steps between two lines of metrics.jsonl.", may_change=True
    )
    eval_every_steps: int = knobs.knob(
        1000, "Steps between two validations; 0 for none.", may_change=True
    )
    save_every_steps: int = knobs.knob(
        1000, "Steps between two checkpoints.", may_change=True
    )
    save_every_secs: float = knobs.knob(
        600.0, "Seconds after which a checkpoint is due all the same.", may_change=True
    )
    keep_checkpoints: int = knobs.knob(
        5, "Newest checkpoints kept; the best is kept apart.", may_change=True
    )

    def __post_init__(self) -> None:
        """Raises ValueError for counts and shares that cannot be."""
        if (self.model == "keras") != (self.keras_model is not None):
            raise ValueError("--model=keras and --keras_model come together")
        for name in (
            "num_steps",
            "log_every_steps",
            "save_every_steps",
            "keep_checkpoints",
        ):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"--{name} must be positive, got {getattr(self, name)}"
                )
        for name in ("max_train_secs", "eval_every_steps"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"--{name} must be at least 0, got {getattr(self, name)}"
                )
        if self.save_every_secs <= 0:
            raise ValueError(
                f"--save_every_secs must be positive, got {self.save_every_secs}"
            )
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"--label_smoothing must be in [0, 1), got {self.label_smoothing}"
            )
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"--seed must be in [0, 2**31), got {self.seed}")

    @property
    def workdir_path(self) -> pathlib.Path:
        """The working directory."""
        return pathlib.Path(self.workdir)

    @property
    def data_path(self) -> locations.Location:
        """The data directory."""
        return locations.locate(self.data_dir)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer."""

    beta1: float = knobs.knob(0.9, "Decay of Adam's first moment.")
    beta2: float = knobs.knob(0.98, "Decay of Adam's second moment.")
    epsilon: float = knobs.knob(1e-9, "Added to the root of Adam's second moment.")
    clip_norm: float = knobs.knob(
        0.0, "Gradients are scaled down to this global norm; 0 for never."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for values with which Adam is undefined."""
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"--{name} must be in [0, 1), got {getattr(self, name)}"
                )
        if self.epsilon <= 0:
            raise ValueError(f"--epsilon must be positive, got {self.epsilon}")
        if self.clip_norm < 0:
            raise ValueError(f"--clip_norm must be at least 0, got {self.clip_norm}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Learning rate."""

    schedule: str = knobs.knob(
        "inverse_sqrt",
        "After the warm-up: falls with the inverse square root of the step, or stays.",
        choices=("inverse_sqrt", "constant"),
    )
    learning_rate: float = knobs.knob(2e-3, "The peak, reached when warm-up ends.")
    warmup_steps: int = knobs.knob(1000, "Steps of linear rise to the peak.")

    def __post_init__(self) -> None:
        """Raises ValueError for a rate or a warm-up that cannot be."""
        if not 0 < self.learning_rate < 10:
            raise ValueError(
                f"--learning_rate must be in (0, 10), got {self.learning_rate}"
            )
        if self.warmup_steps < 0:
            raise ValueError(
                f"--warmup_steps must be at least 0, got {self.warmup_steps}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seq2SeqConfig:
    """Everything a sequence-to-sequence run depends on."""

    run: RunConfig
    transformer: model_config.TransformerConfig
    batch: pipeline_config.BatchConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig


def check_checkpoints(which: str) -> int:
    """Returns how many checkpoints `which` names, 0 for the best.

    Raises:
        ValueError: If it is none of `best`, `last` and `average:K`.
    """
    if which == "best":
        return 0
    if which == "last":
        return 1
    kind, _, count = which.partition(":")
    if kind == "average" and count.isdecimal() and int(count) > 0:
        return int(count)
    raise ValueError(f"--checkpoints={which}: want best, last or average:K")
