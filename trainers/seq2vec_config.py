"""What a sequence-to-vector run is asked to do; flags parse without TensorFlow."""

import dataclasses
from typing import Any

from pipeline import config as pipeline_config
from pipeline import knobs
from trainers import config, optimizer_config, strategy_config
from trainers.models import seq2vec_config


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """Validation."""

    eval_every_steps: int = knobs.knob(
        200, "Steps between two validations; 0 for none.", may_change=True
    )
    best_metric: str = knobs.knob(
        "loss",
        "What the best checkpoint is best in, and --patience waits for.",
        choices=("loss", "accuracy", "macro_f1", "retrieval_accuracy"),
    )
    patience: int = knobs.knob(
        0, "Validations without a better one until the run ends; 0 for never."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for counts that cannot be, or do not go together."""
        knobs.require_at_least(self, 0, "eval_every_steps", "patience")
        if self.patience and not self.eval_every_steps:
            raise ValueError("--patience needs --eval_every_steps above 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seq2VecConfig:
    """Everything a sequence-to-vector run depends on."""

    run: config.RunConfig
    distribution: strategy_config.StrategyConfig
    start: config.StartConfig
    validation: ValidationConfig
    model: seq2vec_config.EncoderConfig
    head: seq2vec_config.HeadConfig
    batch: pipeline_config.BatchConfig
    optimizer: optimizer_config.OptimizerConfig
    schedule: optimizer_config.ScheduleConfig

    def __post_init__(self) -> None:
        """Raises ValueError for settings that do not go together."""
        config.check_together(self)
        if self.head.head == "embedding" and self.distribution.strategy != "none":
            raise ValueError(
                f"--strategy={self.distribution.strategy}: --head=embedding compares "
                "all pairs of a batch, which replicas would take apart"
            )
        if self.head.head == "embedding" and self.optimizer.accumulate_steps > 1:
            raise ValueError(
                f"--accumulate_steps={self.optimizer.accumulate_steps}: "
                "--head=embedding compares all pairs of a batch, which parts would "
                "take apart; use a larger --tokens_per_batch"
            )
        foreign = {"classes": "retrieval_accuracy", "embedding": "macro_f1"}
        if self.validation.best_metric == foreign[self.head.head]:
            raise ValueError(
                f"--best_metric={self.validation.best_metric} is not for "
                f"--head={self.head.head}"
            )

    def unchanged(self) -> dict[str, Any]:
        """Returns what a resumed run must find unchanged, by flag."""
        return config.unchanged(self, ("eval_every_steps",))
