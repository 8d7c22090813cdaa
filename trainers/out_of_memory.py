"""Memory that runs out: TensorFlow's complaint becomes a refusal with the way out."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from pipeline import exits
from trainers import decoding_config

TRAINING = "lower --tokens_per_batch or --attention_budget, or raise --accumulate_steps"
# TensorFlow's own allocators, and XLA's; files it cannot open have the same error.
_OF_MEMORY = re.compile(r"\bOOM\b|(?i:out of memory)")


@contextlib.contextmanager
def refused(work: str, way_out: str) -> Iterator[None]:
    """Refuses work that memory has no room for.

    Args:
        work: What is done, and with what it is largest.
        way_out: The flags that make it smaller.

    Raises:
        exits.Refusal: With `USAGE`, instead of TensorFlow's and numpy's errors.
    """
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        if isinstance(error, tf.errors.OpError) and not _OF_MEMORY.search(
            error.message
        ):
            raise
        raise exits.Refusal(
            exits.USAGE, f"memory has no room for {work}; {way_out}"
        ) from None


def decoding_refused(
    asked: decoding_config.DecodingConfig,
) -> contextlib.AbstractContextManager[None]:
    """Returns what does so for decoding as it is asked."""
    has_beam = asked.beam_size > 1
    return refused(
        f"decoding with --beam_size={asked.beam_size}",
        f"lower {'it, or ' if has_beam else ''}--max_source_tokens",
    )
