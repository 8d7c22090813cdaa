"""Texts to texts: subwords, batches of similar length, decoding, the order restored."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from pipeline import progress, vocabulary
from trainers import decoding_config
from trainers.decoding import beam, decoder, greedy, rules, sampling

GREEDY = decoding_config.DecodingConfig()
# Small enough for the rows of a batch to end at about the same time, large enough for
# products that keep the cores busy: found by trial with tests/benchmarks/decoding.py.
TOKENS_PER_BATCH = 8192
PREFIXES_PER_BATCH = 512


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


_NOTHING = Hypothesis("", 0.0, True)


class Translator:
    """A decoder between two vocabularies.

    Attributes:
        num_cut: Sources so far that had too many tokens.
    """

    def __init__(
        self,
        model: decoder.Decodable,
        vocabularies: vocabulary.Vocabularies,
        asked: decoding_config.DecodingConfig = GREEDY,
        *,
        n_best: int = 1,
        has_prefixes: bool = False,
    ) -> None:
        """Wraps a model; with a `beam_size` of 1 there is no beam.

        Args:
            model: What is decoded.
            vocabularies: Of its two sides.
            asked: How.
            n_best: Hypotheses of each text: the best of a beam, at most `beam_size`, or
                so many drawn ones.
            has_prefixes: Whether `hypotheses` is called with prefixes.
        """
        self.num_cut = 0
        self._asked = asked
        self._vocabularies = vocabularies
        self._num_wanted = n_best
        self._num_drawn = n_best if asked.is_sampling else 1
        allowed = rules.Rules(
            no_repeat_ngram=asked.no_repeat_ngram,
            minimum=asked.has_minimum,
            forced=has_prefixes,
        )
        self._decoder: decoder.Decoder
        if asked.beam_size > 1:
            self._decoder = beam.BeamDecoder(
                model,
                beam_size=asked.beam_size,
                length_penalty=asked.length_penalty,
                n_best=n_best,
                is_exact=asked.exact_search,
                allowed=allowed,
            )
        else:
            drawn = sampling.Sampling(
                asked.sampling_temperature, asked.top_k, asked.top_p
            )
            choice = drawn if asked.is_sampling else greedy.best
            self._decoder = greedy.GreedyDecoder(model, allowed=allowed, choice=choice)

    def best(self, src_ids: tf.Tensor) -> decoder.Found:
        """Builds the graph of the best hypotheses, for graphs that go further.

        Args:
            src_ids: Sources with EOS, int32 [B, S], B at least 1; at most
                `max_source_tokens` without it.

        Returns:
            Ids [B, t], log-probabilities and flags [B].
        """
        num_rows = tf.shape(src_ids)[0]
        lengths = tf.math.count_nonzero(src_ids, axis=1, dtype=tf.int32)
        possible = range(self._asked.max_source_tokens + 2)
        limits = [self._asked.limit(count) for count in possible]
        minimum = [self._asked.minimum(count) for count in possible]
        return self._decoder.best(
            decoder.Request(
                src_ids=src_ids,
                limits=tf.gather(limits, lengths),
                minimum=tf.gather(minimum, lengths),
                forced=tf.zeros([num_rows, 0], tf.int32),
                uniforms=tf.zeros([num_rows, 0]),
            )
        )

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
        """Returns the best hypothesis of each text, as `hypotheses` does."""
        return [many[0] for many in self.hypotheses(texts, on_batch=on_batch)]

    def hypotheses(
        self,
        texts: Sequence[str],
        *,
        prefixes: Sequence[str] = (),
        first_line: int = 1,
        on_batch: Callable[[int], None] | None = None,
    ) -> list[list[Hypothesis]]:
        """Returns the hypotheses of each text, in the order of the texts.

        An empty text has empty hypotheses. A text of too many tokens is cut, with a
        warning.

        Args:
            texts: One line each.
            prefixes: How the hypotheses begin, one for each text, or none at all.
            first_line: Number of the first text, for warnings and for drawing.
            on_batch: Called with the number of texts of each finished batch.
        """
        most = self._asked.max_source_tokens
        encoded = self._vocabularies.src.encode(texts)
        self.num_cut += sum(len(row) > most for row in encoded)
        ids = [
            cut(row, most, first_line + number) for number, row in enumerate(encoded)
        ]
        starts = self._vocabularies.tgt.encode(prefixes)
        found = [[_NOTHING] * self._num_wanted for _ in texts]
        rows = [number for number, row in enumerate(ids) if row]
        lengths = {number: len(ids[number]) + 1 for number in rows}
        per_row = self._asked.beam_size * self._num_drawn
        for batch in by_length(lengths, per_row):
            places = [number for number in batch for _ in range(self._num_drawn)]
            request = self._request(
                [ids[number] for number in places],
                [starts[number] for number in places] if prefixes else [],
                [first_line + number for number in places],
            )
            for number, many in zip(batch, self._decoded(request), strict=True):
                found[number] = many
            if on_batch is not None:
                on_batch(len(batch))
        return found

    def _decoded(self, request: decoder.Request) -> Iterator[list[Hypothesis]]:
        """Yields the hypotheses of each text of a batch."""
        every = self._decoder(request)
        count = every.ids.shape[1] * self._num_drawn
        flat = every.ids.reshape([-1, every.ids.shape[2]])
        texts = self._vocabularies.tgt.decode(flat.tolist())
        said = [
            # Whatever the subwords hold, a hypothesis is one line.
            Hypothesis(
                " ".join(text.split()), float(log_prob), bool(finished), _said(ids)
            )
            for text, log_prob, finished, ids in zip(
                texts,
                every.log_probs.flat,
                every.finished.flat,
                flat.tolist(),
                strict=True,
            )
        ]
        for first in range(0, len(said), count):
            yield said[first : first + count]

    def _request(
        self,
        sources: Sequence[Sequence[int]],
        starts: Sequence[Sequence[int]],
        lines: Sequence[int],
    ) -> decoder.Request:
        """Returns what to ask for sources without EOS, each with its line number."""
        lengths = [len(row) + 1 for row in sources]
        limits = [self._asked.limit(length) for length in lengths]
        if starts:
            limits = [
                max(limit, len(start) + 1)
                for limit, start in zip(limits, starts, strict=True)
            ]
        uniforms = None
        if self._asked.is_sampling:
            uniforms = np.stack(
                [
                    sampling.uniforms(
                        self._asked.sampling_seed,
                        line,
                        number % self._num_drawn,
                        max(limits),
                    )
                    for number, line in enumerate(lines)
                ]
            )
        return request(
            sources,
            limits,
            minimum=list(map(self._asked.minimum, lengths)),
            forced=starts,
            uniforms=uniforms,
        )


def _said(ids: Sequence[int]) -> tuple[int, ...]:
    """Returns what stands before EOS and padding."""
    ends = (vocabulary.EOS_ID, vocabulary.PAD_ID)
    return tuple(itertools.takewhile(lambda index: index not in ends, ids))


class Scorer:
    """Log-probabilities of given targets: forced decoding."""

    def __init__(
        self,
        model: decoder.Decodable,
        vocabularies: vocabulary.Vocabularies,
        *,
        max_tokens: int = GREEDY.max_source_tokens,
    ) -> None:
        """Wraps a model; longer sources and targets than `max_tokens` are cut."""
        self._decoder = greedy.GreedyDecoder(model, allowed=rules.Rules(forced=True))
        self._vocabularies = vocabularies
        self._max_tokens = max_tokens

    @property
    def num_traces(self) -> int:
        """How often the decoder was traced in this process."""
        return self._decoder.num_traces

    def score(
        self, sources: Sequence[str], targets: Sequence[str], *, first_line: int = 1
    ) -> list[float]:
        """Returns log P(target | source) of each pair in nats, EOS included.

        An empty target of an empty source scores 0, as a translator says it.

        Args:
            sources: One line each.
            targets: As many.
            first_line: Number of the first pair, for warnings.
        """
        src_ids, tgt_ids = (
            [
                cut(row, self._max_tokens, first_line + number)
                for number, row in enumerate(side.encode(texts))
            ]
            for side, texts in (
                (self._vocabularies.src, sources),
                (self._vocabularies.tgt, targets),
            )
        )
        found = [0.0] * len(sources)
        lengths = {
            number: max(len(src_ids[number]), len(tgt_ids[number])) + 1
            for number in range(len(sources))
            if src_ids[number] or tgt_ids[number]
        }
        for batch in by_length(lengths, 1):
            forced = [[*tgt_ids[number], vocabulary.EOS_ID] for number in batch]
            asked = request(
                [src_ids[number] for number in batch],
                list(map(len, forced)),
                forced=forced,
            )
            log_probs = self._decoder(asked).log_probs[:, 0].tolist()
            for number, log_prob in zip(batch, log_probs, strict=True):
                found[number] = log_prob
        return found


def request(
    sources: Sequence[Sequence[int]],
    limits: Sequence[int],
    *,
    minimum: Sequence[int] = (),
    forced: Sequence[Sequence[int]] = (),
    uniforms: np.ndarray | None = None,
) -> decoder.Request:
    """Returns what a decoder is asked, from lists.

    Args:
        sources: Ids without EOS, at least one row.
        limits: Tokens after which each row is cut, EOS included.
        minimum: Tokens of each row before EOS, at least; none for 0.
        forced: How each row begins; none for nothing.
        uniforms: Random numbers, float32 [B, U], where something is drawn.
    """
    count = len(sources)
    if uniforms is None:
        uniforms = np.zeros([count, 0], np.float32)
    return decoder.Request(
        src_ids=padded([[*row, vocabulary.EOS_ID] for row in sources]),
        limits=tf.constant(limits, tf.int32),
        minimum=tf.constant(minimum or [0] * count, tf.int32),
        forced=padded(forced or [()] * count),
        uniforms=tf.constant(uniforms),
    )


def cut(ids: list[int], most: int, line: int) -> list[int]:
    """Returns the ids, or the first of them with a warning that names the line."""
    if len(ids) <= most:
        return ids
    progress.logger.warning("line %d: %d tokens, cut to %d", line, len(ids), most)
    return ids[:most]


def by_length(lengths: dict[int, int], per_row: int) -> list[list[int]]:
    """Returns the numbers of rows in batches of similar length, longest first.

    Args:
        lengths: Tokens of each row by its number, EOS included.
        per_row: Prefixes that go on together for each row.
    """
    order = sorted(lengths, key=lambda number: -lengths[number])
    batches, first = [], 0
    while first < len(order):
        longest = lengths[order[first]]
        most = min(PREFIXES_PER_BATCH, TOKENS_PER_BATCH // longest)
        size = max(1, most // per_row)
        batches.append(order[first : first + size])
        first += size
    return batches


def padded(rows: Sequence[Sequence[int]]) -> tf.Tensor:
    """Returns rows of ids, right-padded, int32 [B, longest]."""
    dense = np.full((len(rows), max(map(len, rows))), vocabulary.PAD_ID, np.int32)
    for number, ids in enumerate(rows):
        dense[number, : len(ids)] = ids
    return tf.constant(dense)
