"""How well vectors find the other side of a pair among all pairs of a split."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline import batching, vocabulary
from trainers import losses
from trainers.models import text_pairs

_ROWS = 1024  # compared with all at once


def accuracy(queries: np.ndarray, answers: np.ndarray, keys: Sequence[bytes]) -> float:
    """Returns the share of queries whose nearest answer is theirs, accuracy@1.

    Args:
        queries: Vectors of length 1, float [N, D].
        answers: Vectors of length 1, float [N, D].
        keys: What the answers are; where several are the same, any of them is right.
    """
    right = 0
    for begin in range(0, len(queries), _ROWS):
        nearest = (queries[begin : begin + _ROWS] @ answers.T).argmax(axis=1)
        right += sum(
            keys[found] == keys[begin + row] for row, found in enumerate(nearest)
        )
    return right / len(queries)


class RetrievalStep:
    """Embeds batches and looks for each pair's other side, traced once."""

    def __init__(self, model: text_pairs.TextPairs) -> None:
        """Wraps a model; nothing is traced yet."""

        def embed(batch: batching.TextsBatch) -> tuple[Any, tf.Tensor, tf.Tensor]:
            src, tgt = (
                model.src_vectors(batch.src_ids),
                model.tgt_vectors(batch.tgt_ids),
            )
            return model.losses_of(src, tgt, batch, 0.0), src, tgt

        self._traced = tf.function(
            embed, input_signature=[batching.TEXTS_SPEC], autograph=False
        )

    @property
    def num_traces(self) -> int:
        """How often the step was traced in this process."""
        return int(self._traced.experimental_get_tracing_count())

    def measure(self, batches: Iterable[batching.TextsBatch]) -> dict[str, float]:
        """Returns what is found of all pairs of some batches.

        Returns:
            loss, in nats a pair, and accuracy, both within batches; and over all pairs
            retrieval_accuracy, from source to target, and retrieval_accuracy_back.
        """
        total = np.zeros(len(losses.Losses._fields))
        vectors: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        keys: tuple[list[bytes], list[bytes]] = ([], [])
        for batch in batches:
            sums, *sides = self._traced(batch)
            total += np.array([float(value) for value in sums])
            ids = [part.numpy() for part in batch]
            real = ids[1][:, 0] != vocabulary.PAD_ID
            for side in (0, 1):
                vectors[side].append(sides[side].numpy()[real])
                keys[side].extend(row[row > 0].tobytes() for row in ids[side][real])
        sums = losses.Losses(*total)
        src, tgt = map(np.concatenate, vectors)
        return {
            "loss": sums.nll_sum / sums.num_tokens,
            "accuracy": sums.num_correct / sums.num_tokens,
            "retrieval_accuracy": accuracy(src, tgt, keys[1]),
            "retrieval_accuracy_back": accuracy(tgt, src, keys[0]),
        }
