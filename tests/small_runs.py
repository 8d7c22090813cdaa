"""Flags of training runs that take seconds."""

import pathlib

SIZES = (
    *("--d_model=16", "--d_ff=24", "--num_heads=2", "--num_layers=1"),
    *("--tokens_per_batch=512", "--learning_rate=1e-2", "--warmup_steps=10"),
)


def flags(data_dir: pathlib.Path, workdir: pathlib.Path, *more: str) -> list[str]:
    """Returns the flags of a small run; of a flag given twice, the last one counts."""
    return [f"--data_dir={data_dir}", f"--workdir={workdir}", *SIZES, *more]
