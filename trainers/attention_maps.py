"""What a model attended to in the source while it said a hypothesis.

Computed afterwards, from source and hypothesis together, so that decoding pays nothing
for it.
"""

import dataclasses
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from pipeline import batching, exits, vocabulary
from trainers import translation


class Attentive(Protocol):
    """A model that can say what it attended to."""

    def attention_weights(self, batch: batching.Batch) -> tf.Tensor:
        """Returns weights that sum to 1 over S, float32 [layers, B, H, T, S]."""


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """The attention of one hypothesis.

    Attributes:
        src_pieces: The source's subwords and EOS, S.
        tgt_pieces: The hypothesis's, with EOS unless it was cut, T.
        weights: What was taken from where for each of them, float32 [layers, H, T, S].
    """

    src_pieces: list[str]
    tgt_pieces: list[str]
    weights: np.ndarray

    def chosen(self, layer: int, head: int) -> np.ndarray:
        """Returns one layer's and head's weights, float32 [T, S]; -1 for the mean."""
        layers = self.weights.mean(0) if layer < 0 else self.weights[layer]
        result: np.ndarray = layers.mean(0) if head < 0 else layers[head]
        return result


class Reader:
    """Reads attention maps off a model; traced once."""

    def __init__(
        self,
        model: Any,
        vocabularies: vocabulary.Vocabularies,
        *,
        max_source_tokens: int = translation.GREEDY.max_source_tokens,
    ) -> None:
        """Wraps a model; longer sources are cut, as a translator cuts them.

        Raises:
            exits.Refusal: If it has no attention.
        """
        if not hasattr(model, "attention_weights"):
            raise exits.Refusal(
                exits.MISMATCH, "the model of this run has no attention to draw"
            )
        self._model: Attentive = model
        self._vocabularies = vocabularies
        self._max_source_tokens = max_source_tokens
        ids = tf.TensorSpec([None, None], tf.int32)
        self._traced = tf.function(
            self._weights, input_signature=[ids, ids], autograph=False
        )

    def read(
        self, text: str, hypothesis: translation.Hypothesis
    ) -> AttentionMap | None:
        """Returns the map of a hypothesis, None where either side says nothing."""
        src, tgt = self._vocabularies.src, self._vocabularies.tgt
        (ids,) = src.encode([text])
        src_ids = [*ids[: self._max_source_tokens], vocabulary.EOS_ID]
        end = [vocabulary.EOS_ID] if hypothesis.finished else []
        tgt_ids = [*hypothesis.tgt_ids, *end]
        if not ids or not tgt_ids:
            return None
        tgt_in_ids = [vocabulary.BOS_ID, *tgt_ids[:-1]]
        weights = self._traced(tf.constant([src_ids]), tf.constant([tgt_in_ids]))
        return AttentionMap(
            src.pieces(src_ids), tgt.pieces(tgt_ids), weights[:, 0].numpy()
        )

    def _weights(self, src_ids: tf.Tensor, tgt_in_ids: tf.Tensor) -> tf.Tensor:
        # What is said at a position does not change what it attends to.
        batch = batching.Batch(src_ids, tgt_in_ids, tgt_in_ids)
        return self._model.attention_weights(batch)


def check_choice(maps: AttentionMap, layer: int, head: int) -> None:
    """Refuses a layer or head that the model does not have."""
    num_layers, num_heads = maps.weights.shape[:2]
    for name, value, count in (
        ("layer", layer, num_layers),
        ("head", head, num_heads),
    ):
        if value >= count:
            raise exits.Refusal(
                exits.USAGE,
                f"--attention_{name}={value}: the model has {count}, counted from 0",
            )


def rounded(weights: np.ndarray) -> list[Any]:
    """Returns weights as nested lists, in as many digits as a picture shows."""
    lists: list[Any] = np.round(weights.astype(np.float64), 4).tolist()
    return lists
