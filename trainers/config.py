"""What a training run is asked to do; flags parse without TensorFlow."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, Protocol

from pipeline import config as pipeline_config
from pipeline import knobs, locations
from trainers import optimizer_config, strategy_config
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
    seed: int = knobs.knob(1, "Of initial weights, dropout and the order of examples.")
    num_steps: int = knobs.knob(10_000, "Optimizer updates in all.", may_change=True)
    max_train_secs: float = knobs.knob(
        0.0,
        "Ends after so many seconds of training, over all resumes; 0 for no limit.",
        may_change=True,
    )
    dtype: str = knobs.knob(
        "auto",
        "What the model computes in; its weights are float32 always. auto: bfloat16 "
        "where the hardware has it (AMX, Ampere and later GPUs), float32 elsewhere.",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    xla: bool = knobs.knob(
        False,
        "Compiles the step with XLA, for every shape a batch can have before the first "
        "step; pays on a GPU.",
    )
    deterministic: bool = knobs.knob(
        False,
        "Makes TensorFlow's operations give the same bits each time on a GPU too, and "
        "refuse where they cannot; slower.",
    )
    label_smoothing: float = knobs.knob(
        0.1, "Target mass spread over all subwords or classes, in [0, 1)."
    )
    log_every_steps: int = knobs.knob(
        100, "Steps between two lines of metrics.jsonl.", may_change=True
    )
    profile_steps: str = knobs.knob(
        "", "Writes a TensorFlow profile of these steps, as in 20-30.", may_change=True
    )
    report: bool = knobs.knob(
        True,
        "Writes report.html when the run ends: all of it on one page.",
        may_change=True,
    )
    new_data: bool = knobs.knob(
        False,
        "Goes on from the newest checkpoint with other data or batches: weights stay, "
        "the data begins at its first epoch.",
        may_change=True,
    )
    save_every_steps: int = knobs.knob(
        1000, "Steps between two checkpoints.", may_change=True
    )
    save_every_secs: float = knobs.knob(
        600.0, "Seconds after which a checkpoint is due all the same.", may_change=True
    )
    keep_checkpoints: int = knobs.knob(
        5,
        "Newest checkpoints kept of those due by --save_every_steps, and the last one "
        "saved since; the best is kept apart.",
        may_change=True,
    )

    def __post_init__(self) -> None:
        """Raises ValueError for counts and shares that cannot be."""
        knobs.require_positive(
            self, "num_steps", "log_every_steps", "save_every_steps", "keep_checkpoints"
        )
        knobs.require_at_least(self, 0, "max_train_secs")
        self.profiled  # noqa: B018 - refuses what is no range of steps
        knobs.require_positive(self, "save_every_secs")
        knobs.require_in(self, "[0, 1)", "label_smoothing")
        knobs.require_in(self, "[0, 2**31)", "seed")

    @property
    def profiled(self) -> tuple[int, int] | None:
        """The first and last step of which to write a profile, if any.

        Raises:
            ValueError: If it is no range of steps.
        """
        if not self.profile_steps:
            return None
        first, dash, last = self.profile_steps.partition("-")
        if not (dash and first.isdecimal() and last.isdecimal()) or not (
            1 < int(first) <= int(last)
        ):
            raise ValueError(
                f"--profile_steps={self.profile_steps}: want two steps, as in 20-30"
            )
        if int(last) > self.num_steps:
            raise ValueError(
                f"--profile_steps={self.profile_steps} ends after the last step, "
                f"--num_steps={self.num_steps}: choose earlier ones, or leave it out"
            )
        return int(first), int(last)

    @property
    def workdir_path(self) -> pathlib.Path:
        """The working directory."""
        return pathlib.Path(self.workdir)

    @property
    def data_path(self) -> locations.Location:
        """The data directory."""
        return locations.locate(self.data_dir)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """Validation."""

    eval_every_steps: int = knobs.knob(
        1000, "Steps between two validations; 0 for none.", may_change=True
    )
    eval_examples: int = knobs.knob(
        200,
        "Examples of the valid split decoded each time, for scores; 0 for none.",
        may_change=True,
    )
    eval_samples: int = knobs.knob(
        5, "Of these, how many samples.txt shows.", may_change=True
    )
    best_metric: str = knobs.knob(
        "loss",
        "What the best checkpoint is best in, and --patience waits for.",
        choices=(
            *("loss", "token_accuracy", "bleu", "chrf", "exact_match"),
            "token_error_rate",
        ),
    )
    patience: int = knobs.knob(
        0, "Validations without a better one until the run ends; 0 for never."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for counts that cannot be, or do not go together."""
        knobs.require_at_least(
            self, 0, "eval_every_steps", "eval_examples", "eval_samples", "patience"
        )
        decoded = self.best_metric not in ("loss", "token_accuracy")
        if decoded and not self.eval_examples:
            raise ValueError(
                f"--best_metric={self.best_metric} needs --eval_examples above 0"
            )
        if self.patience and not self.eval_every_steps:
            raise ValueError("--patience needs --eval_every_steps above 0")


class Judged(Protocol):
    """How a run of any task is validated."""

    @property
    def eval_every_steps(self) -> int:
        """Steps between two validations; 0 for none."""

    @property
    def best_metric(self) -> str:
        """What the best checkpoint is best in."""

    @property
    def patience(self) -> int:
        """Validations without a better one until the run ends; 0 for never."""


class ModelKnobs(Protocol):
    """What a model of any task is made of."""

    def without_effect(self) -> list[str]:
        """Returns the flags that were given and that the model does not read."""


class TrainConfig(Protocol):
    """What the config of every task has."""

    @property
    def run(self) -> RunConfig:
        """Directories, steps, saving."""

    @property
    def start(self) -> "StartConfig":
        """What weights begin with."""

    @property
    def distribution(self) -> strategy_config.StrategyConfig:
        """Over which devices and processes."""

    @property
    def validation(self) -> Judged:
        """When to validate, and what is best."""

    @property
    def model(self) -> ModelKnobs:
        """What is trained."""

    @property
    def batch(self) -> pipeline_config.BatchConfig:
        """How examples are grouped."""

    @property
    def optimizer(self) -> optimizer_config.OptimizerConfig:
        """What a gradient does to the weights."""

    @property
    def schedule(self) -> optimizer_config.ScheduleConfig:
        """The learning rate."""


def check_together(asked: TrainConfig) -> None:
    """Raises ValueError for settings that do not go together, whatever the task."""
    strategy_config.check(asked.distribution, asked.run.xla, asked.batch)
    plateau = asked.schedule.schedule == "plateau"
    if plateau and not asked.validation.eval_every_steps:
        raise ValueError("--schedule=plateau needs --eval_every_steps above 0")


def doubts(asked: TrainConfig) -> list[str]:
    """Returns a line for each thing that is allowed and hardly meant."""
    found = []
    parts = (asked.model, asked.batch, asked.optimizer)
    if idle := [flag for part in parts for flag in part.without_effect()]:
        found.append(f"without effect in this run: {', '.join(idle)}")
    if asked.schedule.warmup_steps >= asked.run.num_steps:
        found.append(
            f"--warmup_steps={asked.schedule.warmup_steps} are all of --num_steps="
            f"{asked.run.num_steps}: the learning rate only rises"
        )
    return found


def unchanged(asked: TrainConfig, judged_by: Sequence[str]) -> dict[str, Any]:
    """Returns what a resumed run must find unchanged, by flag.

    Knobs that may change otherwise must not where the weights depend on them.

    Args:
        asked: The config.
        judged_by: The flags that say when and on what a run is validated.
    """
    values = knobs.fixed_leaves(asked)
    if asked.schedule.depends_on_num_steps:
        values["num_steps"] = asked.run.num_steps
    if asked.schedule.schedule == "plateau" or asked.validation.patience:
        values |= {name: getattr(asked.validation, name) for name in judged_by}
    return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartConfig:
    """Start."""

    init_from: str | None = knobs.knob(
        None,
        "Begins with the weights of another run (its --workdir: the best checkpoint, "
        "else the newest) or of a checkpoint, by name; subwords keep their vectors.",
    )
    name_map: str | None = knobs.knob(
        None,
        "For --init_from of another toolkit: a file with a pattern of its names and "
        "our name a line; what the * of one match stands for the * of the other. .T "
        "after our name: transposed.",
    )
    init_vocab: tuple[str, ...] = knobs.knob(
        (),
        "The vocabulary of such a checkpoint: a file for the source and one for the "
        "target, or one for both, with a subword a line in the order of its ids.",
    )
    freeze: tuple[str, ...] = knobs.knob(
        (),
        "Weights that are not trained, by the first parts of their names, as in "
        "encoder,encoder_norm or encoder/0; embeddings stands for all of those.",
    )
    src_embeddings: str | None = knobs.knob(
        None, "Vectors for source subwords, in the text format of word2vec and GloVe."
    )
    tgt_embeddings: str | None = knobs.knob(
        None, "Vectors for target subwords, in the same format."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for flags that do not go together."""
        if self.name_map is not None and self.init_from is None:
            raise ValueError(f"--name_map={self.name_map} is for --init_from")
        if len(self.init_vocab) > 2 or (self.init_vocab and self.init_from is None):
            raise ValueError(
                f"--init_vocab={','.join(self.init_vocab)}: want one file or two, "
                "beside --init_from"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seq2SeqConfig:
    """Everything a sequence-to-sequence run depends on."""

    run: RunConfig
    distribution: strategy_config.StrategyConfig
    start: StartConfig
    validation: ValidationConfig
    model: model_config.ModelConfig
    batch: pipeline_config.BatchConfig
    optimizer: optimizer_config.OptimizerConfig
    schedule: optimizer_config.ScheduleConfig

    def __post_init__(self) -> None:
        """Raises ValueError for settings that do not go together."""
        check_together(self)
        if self.model.model == "keras" and self.distribution.strategy != "none":
            raise ValueError(
                f"--strategy={self.distribution.strategy} is not for --model=keras, "
                "whose layers draw their dropout by themselves"
            )
        if self.model.model == "keras" and self.run.dtype not in ("auto", "float32"):
            raise ValueError(
                f"--dtype={self.run.dtype} is not for --model=keras, whose layers have "
                "a policy of their own"
            )

    def unchanged(self) -> dict[str, Any]:
        """Returns what a resumed run must find unchanged, by flag."""
        return unchanged(self, ("eval_every_steps", "eval_examples"))
