"""How the examples of a data directory are grouped into batches."""

import dataclasses
import math

from pipeline import exits, knobs

AUTO = "auto"
DEFAULT_TOKENS = 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """Batches."""

    tokens_per_batch: int | str | None = knobs.knob(
        None,
        "Padded tokens on the larger side of a batch, never exceeded. Unset: 4096, or "
        "no limit where --batch_rows is set. auto, of training alone: as many as there "
        "is memory for.",
        choices=(AUTO,),
    )
    batch_rows: int | None = knobs.knob(
        None, "Pairs in a batch, never exceeded. Unset: as many as the tokens allow."
    )
    attention_budget: int | None = knobs.knob(
        None,
        "Pairs of a batch times the square of its larger side in tokens, never "
        "exceeded: entries of one head's largest attention matrix. Unset: no limit.",
    )
    row_multiple: int = knobs.knob(
        1, "Pairs in a batch, fillers included, are a multiple of this."
    )
    max_length: int | None = knobs.knob(
        None,
        "Longest side trained on, in tokens, BOS or EOS included; longer pairs are "
        "left out and counted. Unset: the longest in the data.",
    )
    num_buckets: int = knobs.knob(
        32, "Length buckets; their boundaries are learned from the data."
    )
    bucket_multiple: int | None = knobs.knob(
        None, "Boundaries are multiples of this. Unset: 1 on CPU, 8 on GPU."
    )
    pool_examples: int = knobs.knob(
        262_144, "Examples held in memory and shuffled together, at least one shard."
    )
    plan_lanes: int = knobs.knob(
        1,
        "Equal parts that every batch is made of, each from shards of its own; the "
        "number of readers must divide it. 8 for a run that is to move between 1, 2, 4 "
        "and 8.",
    )
    mix: tuple[str, ...] = knobs.knob(
        (),
        "Data directories to train on with their weights, as in a:2,b:1, instead of "
        "--data_dir alone; one without a weight weighs its number of examples. "
        "Vocabulary and validation stay those of --data_dir.",
        may_change=True,  # what is in them may not: the plan and the data tell
    )
    mix_temperature: float = knobs.knob(
        1.0,
        "Weights of --mix are taken to the power of one over this: above 1 they become "
        "more equal.",
    )

    def __post_init__(self) -> None:
        """Raises ValueError for a value that no data could satisfy."""
        for name in (
            *("tokens_per_batch", "batch_rows", "attention_budget", "row_multiple"),
            *("num_buckets", "bucket_multiple", "pool_examples", "plan_lanes"),
        ):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"--{name} must be positive, got {value}")
        if self.batch_rows is not None and self.batch_rows < self.row_step:
            raise ValueError(
                f"--batch_rows={self.batch_rows} is less than {self.row_step}, which "
                "--row_multiple and --plan_lanes ask a multiple of"
            )
        knobs.require_positive(self, "mix_temperature")
        self.mix_weights  # noqa: B018 - refuses weights that are no numbers
        if self.max_length is None:
            return
        knobs.require_at_least(self, 2, "max_length")
        if self.tokens_per_batch == AUTO:
            return
        if self.tokens is not None and self.max_length > self.tokens:
            raise ValueError(
                f"--max_length={self.max_length} does not fit in "
                f"--tokens_per_batch={self.tokens}"
            )

    def without_effect(self) -> list[str]:
        """Returns the flags that were given and that the others leave unread."""
        idle = set() if self.mix else {"mix_temperature"}
        return knobs.given_beside(self, knobs.names(self) - idle)

    @property
    def tokens(self) -> int | None:
        """The budget of padded tokens; None for no limit.

        Raises:
            exits.Refusal: If it is for training to find out.
        """
        if isinstance(self.tokens_per_batch, str):
            raise exits.Refusal(
                exits.USAGE,
                f"--tokens_per_batch={self.tokens_per_batch} is for training alone, "
                "which knows the model; want a number",
            )
        if self.tokens_per_batch is None and self.batch_rows is None:
            return DEFAULT_TOKENS
        return self.tokens_per_batch

    @property
    def row_step(self) -> int:
        """What the number of pairs of every batch is a multiple of."""
        return math.lcm(self.row_multiple, self.plan_lanes)

    @property
    def mix_weights(self) -> dict[str, float | None]:
        """The weight of each directory of `mix`; None where it has none.

        Raises:
            ValueError: If a weight is not a positive number, or a name comes twice.
        """
        weights: dict[str, float | None] = {}
        for entry in self.mix:
            name, colon, text = entry.rpartition(":")
            if not colon or "/" in text:  # gs://bucket/data has no weight
                name, text = entry, ""
            if name in weights:
                raise ValueError(f"--mix: {name} comes twice")
            weights[name] = _weight(entry, text) if text else None
        return weights


def _weight(entry: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise ValueError(f"--mix={entry}: {text!r} is not a weight above 0")
    return weight
