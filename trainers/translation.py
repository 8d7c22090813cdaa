"""Texts to texts: subwords, batches of similar length, decoding, the order restored."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from pipeline import progress, vocabulary
from trainers import config
from trainers.decoding import beam, decoder, greedy

MAX_SOURCE_TOKENS = 1024  # longer sources are cut; attention needs memory for S * S
GREEDY = config.DecodingConfig()
_TOKENS_PER_BATCH = 8192
_ROWS_PER_BATCH = 512


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """What a model says to one text.

    Attributes:
        text: One line.
        log_prob: Its log-probability, EOS included, in nats.
        finished: Whether the model ended it; if not it was cut.
        tgt_ids: Its subwords, without EOS.
    """

    text: str
    log_prob: float
    finished: bool
    tgt_ids: tuple[int, ...] = ()


class Translator:
    """A decoder between two vocabularies."""

    def __init__(
        self,
        model: decoder.Decodable,
        vocabularies: vocabulary.Vocabularies,
        asked: config.DecodingConfig = GREEDY,
    ) -> None:
        """Wraps a model; with a `beam_size` of 1 it is decoded greedily."""
        self._decoder: decoder.Decoder
        if asked.beam_size == 1:
            self._decoder = greedy.GreedyDecoder(model)
        else:
            self._decoder = beam.BeamDecoder(
                model,
                beam_size=asked.beam_size,
                length_penalty=asked.length_penalty,
            )
        self._beam_size = asked.beam_size
        self._vocabularies = vocabularies

    @property
    def decoder(self) -> decoder.Decoder:
        """What decodes batches of ids."""
        return self._decoder

    @property
    def num_traces(self) -> int:
        """How often the decoder was traced in this process."""
        return self._decoder.num_traces

    def translate(
        self,
        texts: Sequence[str],
        *,
        on_batch: Callable[[int], None] | None = None,
    ) -> list[Hypothesis]:
        """Returns a hypothesis for each text, in the order of the texts.

        An empty text has an empty hypothesis. A text of more than 1,024 tokens is cut,
        with a warning.

        Args:
            texts: One line each.
            on_batch: Called with the number of texts of each finished batch.
        """
        ids = [
            self._source_ids(number, row)
            for number, row in enumerate(self._encode(texts))
        ]
        hypotheses = [Hypothesis("", 0.0, True)] * len(texts)
        for rows in _by_length(ids, self._beam_size):
            decoded = self._decoder(_padded([ids[row] for row in rows]))
            target = self._vocabularies.tgt.decode(decoded.ids.tolist())
            for row, text, ids_said, log_prob, finished in zip(
                rows,
                target,
                decoded.ids.tolist(),
                decoded.log_probs,
                decoded.finished,
                strict=True,
            ):
                # Whatever the subwords hold, a hypothesis is one line.
                line = " ".join(text.split())
                hypotheses[row] = Hypothesis(
                    line, float(log_prob), bool(finished), _said(ids_said)
                )
            if on_batch is not None:
                on_batch(len(rows))
        return hypotheses

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return self._vocabularies.src.encode(texts)

    def _source_ids(self, number: int, ids: list[int]) -> list[int]:
        if len(ids) <= MAX_SOURCE_TOKENS:
            return ids
        progress.logger.warning(
            "line %d: %d tokens, cut to %d", number + 1, len(ids), MAX_SOURCE_TOKENS
        )
        return ids[:MAX_SOURCE_TOKENS]


def _said(ids: Sequence[int]) -> tuple[int, ...]:
    """Returns what stands before EOS and padding."""
    ends = (vocabulary.EOS_ID, vocabulary.PAD_ID)
    return tuple(itertools.takewhile(lambda index: index not in ends, ids))


def _by_length(ids: Sequence[Sequence[int]], beam_size: int) -> list[list[int]]:
    """Returns the numbers of the rows that are not empty, in batches, longest first."""
    order = sorted(
        (row for row in range(len(ids)) if ids[row]), key=lambda row: -len(ids[row])
    )
    batches, first = [], 0
    while first < len(order):
        longest = len(ids[order[first]]) + 1
        most = min(_ROWS_PER_BATCH, _TOKENS_PER_BATCH // longest)
        size = max(1, most // beam_size)
        batches.append(order[first : first + size])
        first += size
    return batches


def _padded(rows: Sequence[Sequence[int]]) -> tf.Tensor:
    """Returns sources with EOS, right-padded, int32 [B, S]."""
    length = max(map(len, rows)) + 1
    dense = np.full((len(rows), length), vocabulary.PAD_ID, np.int32)
    for row, ids in enumerate(rows):
        dense[row, : len(ids)] = ids
        dense[row, len(ids)] = vocabulary.EOS_ID
    return tf.constant(dense)
