"""What a training run is asked to do; flags parse without TensorFlow."""

import dataclasses
import pathlib
from typing import Any, Protocol

from pipeline import config as pipeline_config
from pipeline import exits, knobs, locations
from trainers import strategy_config
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
        5, "Newest checkpoints kept; the best is kept apart.", may_change=True
    )

    def __post_init__(self) -> None:
        """Raises ValueError for counts and shares that cannot be."""
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
        if self.max_train_secs < 0:
            raise ValueError(
                f"--max_train_secs must be at least 0, got {self.max_train_secs}"
            )
        self.profiled  # noqa: B018 - refuses what is no range of steps
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
class OptimizerConfig:
    """Optimizer."""

    optimizer: str = knobs.knob(
        "adam",
        "What a gradient does to the weights.",
        choices=("adam", "adamw", "adafactor", "sgd", "lion"),
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
        for name in ("beta1", "beta2", "momentum", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"--{name} must be in [0, 1), got {getattr(self, name)}"
                )
        if self.epsilon <= 0:
            raise ValueError(f"--epsilon must be positive, got {self.epsilon}")
        for name in ("clip_norm", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"--{name} must be at least 0, got {getattr(self, name)}"
                )
        for name in ("accumulate_steps", "max_bad_steps"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"--{name} must be positive, got {getattr(self, name)}"
                )
        if self.weight_decay and self.optimizer == "adam":
            raise ValueError("--weight_decay is of --optimizer=adamw, not of adam")


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
        if not 0 < self.learning_rate < 10:
            raise ValueError(
                f"--learning_rate must be in (0, 10), got {self.learning_rate}"
            )
        if self.warmup_steps < 0:
            raise ValueError(
                f"--warmup_steps must be at least 0, got {self.warmup_steps}"
            )
        if not 0 <= self.final_rate <= 1:
            raise ValueError(f"--final_rate must be in [0, 1], got {self.final_rate}")
        if not 0 < self.plateau_factor < 1:
            raise ValueError(
                f"--plateau_factor must be in (0, 1), got {self.plateau_factor}"
            )
        if self.plateau_patience < 1:
            raise ValueError(
                f"--plateau_patience must be positive, got {self.plateau_patience}"
            )

    @property
    def depends_on_num_steps(self) -> bool:
        """Whether another --num_steps would change the steps before it."""
        return self.schedule in ("cosine", "linear")


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
        for name in ("eval_every_steps", "eval_examples", "eval_samples", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"--{name} must be at least 0, got {getattr(self, name)}"
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
    def batch(self) -> pipeline_config.BatchConfig:
        """How examples are grouped."""

    @property
    def optimizer(self) -> OptimizerConfig:
        """What a gradient does to the weights."""

    @property
    def schedule(self) -> ScheduleConfig:
        """The learning rate."""


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
        "our name a line; what the * of one match stands for the * of the other.",
    )
    init_vocab: tuple[str, ...] = knobs.knob(
        (),
        "The vocabulary of such a checkpoint: a file for the source and one for the "
        "target, or one for both, with a subword a line in the order of its ids.",
    )
    freeze: tuple[str, ...] = knobs.knob(
        (),
        "Weights that are not trained, by the beginnings of their names, as in "
        "encoder,embeddings.",
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
    optimizer: OptimizerConfig
    schedule: ScheduleConfig

    def __post_init__(self) -> None:
        """Raises ValueError for settings that do not go together."""
        strategy_config.check(self.distribution, self.run.xla, self.batch)
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
        plateau = self.schedule.schedule == "plateau"
        if plateau and not self.validation.eval_every_steps:
            raise ValueError("--schedule=plateau needs --eval_every_steps above 0")

    def fixed(self) -> dict[str, Any]:
        """Returns what a resumed run must find unchanged, by flag.

        Knobs that may change otherwise must not where the weights depend on them.
        """
        values = knobs.fixed_leaves(self)
        if self.schedule.depends_on_num_steps:
            values["num_steps"] = self.run.num_steps
        if self.schedule.schedule == "plateau" or self.validation.patience:
            values["eval_every_steps"] = self.validation.eval_every_steps
            values["eval_examples"] = self.validation.eval_examples
        return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightsConfig:
    """Which weights."""

    workdir: str = knobs.knob(help_text="The working directory of a run.")
    checkpoints: str = knobs.knob(
        "best", "Which weights: best (on valid), last, or average:K of the newest K."
    )
    raw_weights: bool = knobs.knob(
        False, "Takes the weights themselves where the run kept a moving average."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for checkpoints that cannot be meant."""
        count_of(self.checkpoints)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Attention pictures."""

    attention_dir: str | None = knobs.knob(
        None,
        "Writes what each target subword attended to, a PNG and a JSON file for each "
        "line, named by its number.",
    )
    attention_layer: int = knobs.knob(
        -1, "Of the decoder, from 0, drawn in the PNG; -1 for the mean."
    )
    attention_head: int = knobs.knob(-1, "From 0, drawn in the PNG; -1 for the mean.")

    def __post_init__(self) -> None:
        """Raises ValueError for what is no layer or head."""
        for name in ("attention_layer", "attention_head"):
            value = getattr(self, name)
            if value < -1:
                raise ValueError(f"--{name} must be at least -1, got {value}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """Decoding."""

    beam_size: int = knobs.knob(
        1, "Prefixes kept in beam search; 1 is greedy decoding."
    )
    length_penalty: float = knobs.knob(
        1.0,
        "Of beam search, Wu et al. 2016: 0 compares log-probabilities as they are, "
        "more favours longer hypotheses.",
    )
    exact_search: bool = knobs.knob(
        False,
        "Beam search goes on until no prefix could win even at its longest, not only "
        "until none does as it stands.",
    )
    min_length: int = knobs.knob(
        0, "Subwords that a hypothesis has at least, EOS not counted."
    )
    min_length_ratio: float = knobs.knob(
        0.0, "The same, as a multiple of the subwords of the source; the larger counts."
    )
    max_length_ratio: float = knobs.knob(
        2.0,
        "A hypothesis is cut after this multiple of the subwords of the source, EOS "
        "counted on both sides, and --max_length_offset more.",
    )
    max_length_offset: int = knobs.knob(50, "See --max_length_ratio.")
    max_source_tokens: int = knobs.knob(
        1024, "Subwords of a source that are read; longer ones are cut, with a warning."
    )
    no_repeat_ngram: int = knobs.knob(
        0, "No sequence of so many subwords comes twice in a hypothesis; 0 for any."
    )
    sampling_temperature: float = knobs.knob(
        0.0,
        "Draws each subword, from probabilities to the power of one over this; 0 takes "
        "the best instead.",
    )
    top_k: int = knobs.knob(
        0, "When drawing: only from the so many likeliest; 0 for all."
    )
    top_p: float = knobs.knob(
        1.0, "When drawing: only from the fewest that have this much probability."
    )
    sampling_seed: int = knobs.knob(
        1, "Of what is drawn, with the number of the line; batches do not matter."
    )
    ensemble: tuple[str, ...] = knobs.knob(
        (),
        "More runs, comma-separated, with the same vocabulary; the mean of all their "
        "probabilities decides.",
    )

    def __post_init__(self) -> None:
        """Raises ValueError for values that cannot be, or do not go together."""
        for name, least in (
            ("beam_size", 1),
            ("length_penalty", 0),
            ("min_length", 0),
            ("min_length_ratio", 0),
            ("max_length_ratio", 0),
            ("max_length_offset", 0),
            ("max_source_tokens", 1),
            ("no_repeat_ngram", 0),
            ("sampling_temperature", 0),
            ("top_k", 0),
        ):
            value = getattr(self, name)
            if not value >= least:
                raise ValueError(f"--{name} must be at least {least}, got {value}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"--top_p must be in (0, 1], got {self.top_p}")
        if not 0 <= self.sampling_seed < 2**63:
            raise ValueError(
                f"--sampling_seed must be in [0, 2**63), got {self.sampling_seed}"
            )
        if not self.max_length_ratio and not self.max_length_offset:
            raise ValueError(
                "--max_length_ratio=0 needs --max_length_offset above 0, or nothing "
                "could be said"
            )
        if not self.is_sampling and (self.top_k or self.top_p < 1):
            raise ValueError(
                "--top_k and --top_p are for drawing: they need --sampling_temperature "
                "above 0, such as 1"
            )
        if self.is_sampling and self.beam_size > 1:
            raise ValueError(
                f"--beam_size={self.beam_size} and --sampling_temperature do not go "
                "together"
            )

    @property
    def is_sampling(self) -> bool:
        """Whether subwords are drawn."""
        return self.sampling_temperature > 0

    @property
    def has_minimum(self) -> bool:
        """Whether hypotheses have a least length."""
        return bool(self.min_length or self.min_length_ratio)

    def limit(self, src_tokens: int) -> int:
        """Returns after how many tokens, EOS counted, a hypothesis is cut."""
        return max(int(self.max_length_ratio * src_tokens) + self.max_length_offset, 1)

    def minimum(self, src_tokens: int) -> int:
        """Returns how many subwords a hypothesis has at least, below its limit.

        Args:
            src_tokens: Of the source, EOS counted.
        """
        least = max(self.min_length, int(self.min_length_ratio * (src_tokens - 1)))
        return min(least, self.limit(src_tokens) - 1)


def check_decodable(model: model_config.ModelConfig, asked: DecodingConfig) -> None:
    """Refuses a beam for a model whose positions do not depend on each other.

    Raises:
        exits.Refusal: Of kind `USAGE`.
    """
    if model.model == "repeat_vector" and asked.beam_size > 1:
        raise exits.Refusal(
            exits.USAGE,
            f"--beam_size={asked.beam_size}: the run is of --model=repeat_vector, "
            "which has nothing to search; leave --beam_size at 1",
        )


def count_of(which: str) -> int:
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
