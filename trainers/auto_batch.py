"""`--tokens_per_batch=auto`: as many tokens as memory has room for.

The memory a step needs grows linearly with the tokens of its batch. Two budgets are
tried, as the largest batches of their plans, and the line through what they took says
what fits. What is chosen is tried as well before the first step, as in every run.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from pipeline import config as pipeline_config

_FIRST_TOKENS = 4096
_SHARE = 0.8  # of the memory there is
_MULTIPLE = 256
_FEWEST_BATCHES = 100  # of an epoch: fewer are no stochastic gradient


def fit(
    peak_bytes: Callable[[int], float],
    *,
    room_bytes: float,
    least: int,
    epoch_tokens: int,
) -> int:
    """Returns a budget of padded tokens on the larger side.

    Args:
        peak_bytes: The most memory held so far, after a step within a budget.
        room_bytes: The memory there is.
        least: Tokens that a budget must have, such as those of the longest example.
        epoch_tokens: Tokens of an epoch, on the larger side.
    """
    first = max(_FIRST_TOKENS, least)
    low, high = peak_bytes(first), peak_bytes(2 * first)
    per_token = max((high - low) / first, 1.0)
    fitting = 2 * first + int((_SHARE * room_bytes - high) / per_token)
    most = max(first, epoch_tokens // _FEWEST_BATCHES)
    return max(least, min(fitting, most) // _MULTIPLE * _MULTIPLE)


def least_tokens(
    batch: pipeline_config.BatchConfig, longest: int, multiple: int
) -> int:
    """Returns the fewest tokens that a budget must have.

    Args:
        batch: What is asked of batches.
        longest: The longest side of any example, in tokens.
        multiple: Of the widths of buckets, where none is asked for.
    """
    widest = longest + (batch.bucket_multiple or multiple) - 1
    return max(widest * batch.row_step, batch.max_length or 1)


def with_tokens(asked: Any, tokens: int) -> Any:
    """Returns a config with a budget of tokens, and everything else as it is."""
    batch = dataclasses.replace(asked.batch, tokens_per_batch=tokens)
    return dataclasses.replace(asked, batch=batch)
