"""How the examples of a data directory are grouped into batches."""

import dataclasses

from pipeline import knobs


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """Batches."""

    tokens_per_batch: int = knobs.knob(
        4096, "Padded tokens on the larger side of a batch, never exceeded."
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

    def __post_init__(self) -> None:
        """Raises ValueError for a value that no data could satisfy."""
        for name in ("tokens_per_batch", "num_buckets", "pool_examples"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"--{name} must be positive, got {getattr(self, name)}"
                )
        if self.bucket_multiple is not None and self.bucket_multiple < 1:
            raise ValueError(
                f"--bucket_multiple must be positive, got {self.bucket_multiple}"
            )
        if self.max_length is None:
            return
        if self.max_length < 2:
            raise ValueError(f"--max_length must be at least 2, got {self.max_length}")
        if self.max_length > self.tokens_per_batch:
            raise ValueError(
                f"--max_length={self.max_length} does not fit in "
                f"--tokens_per_batch={self.tokens_per_batch}"
            )
