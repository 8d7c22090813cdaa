"""What every decoder shares: what a model must do, what is asked, the one traced loop.

One traced function for all batches: sources of any number and length, state that grows
by one position a turn, limits for each row of its own, so that the batch a sentence is
in does not change its hypothesis. Rows that are done leave the loop: whenever a quarter
of them is, the others go on in a smaller batch.
"""

import abc
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

_COMPACT = 4  # rows are left behind once one of so many is done


class State(NamedTuple):
    """What a model carries from position to position, for B sources with K prefixes.

    Prefix k of source b is row b * K + k of what belongs to prefixes, N = B * K rows in
    all. Decoders repeat, reorder and leave out rows of both parts; a model only has to
    cope with a K that it reads from the shapes.

    Attributes:
        source: A nest of tensors [B, ...], the same for all prefixes of a source.
        prefix: A nest of tensors [N, ...], each prefix's own.
    """

    source: Any
    prefix: Any


class Decodable(Protocol):
    """What a model must do to be decoded."""

    def start(self, src_ids: tf.Tensor) -> State:
        """Returns the state before position 0, for int32 [B, S]; N is B."""

    def next_logits(self, tgt_ids: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Returns scores of what follows, float [N, V], and the state with it.

        Args:
            tgt_ids: The last subword of each prefix, BOS at first, int32 [N].
            state: As `start` or this function returned it, N a multiple of B. The
                number of subwords, V, must be known when the graph is made.
        """


class Request(NamedTuple):
    """What is to be decoded, row by row.

    Attributes:
        src_ids: Sources with EOS, int32 [B, S].
        limits: Tokens after which a row is cut, EOS included, int32 [B], at least 1.
        minimum: Tokens before EOS, at least, int32 [B].
        forced: How a hypothesis begins, then PAD, int32 [B, P].
        uniforms: Random numbers in [0, 1), one a position, float32 [B, U]; U is 0
            unless something is drawn.
    """

    src_ids: tf.Tensor
    limits: tf.Tensor
    minimum: tf.Tensor
    forced: tf.Tensor
    uniforms: tf.Tensor


_SIGNATURE = Request(
    src_ids=tf.TensorSpec([None, None], tf.int32),
    limits=tf.TensorSpec([None], tf.int32),
    minimum=tf.TensorSpec([None], tf.int32),
    forced=tf.TensorSpec([None, None], tf.int32),
    uniforms=tf.TensorSpec([None, None], tf.float32),
)


class Found(NamedTuple):
    """Hypotheses of A rows, n each, the best first, as tensors or arrays.

    Attributes:
        ids: Subwords, EOS included, then PAD: int32 [A, n, t].
        log_probs: The model's log-probabilities, EOS included: float32 [A, n].
        finished: Whether they ended with EOS and were not cut: bool [A, n].
    """

    ids: Any
    log_probs: Any
    finished: Any


class Search(NamedTuple):
    """Where a search stands after t positions, for the A rows that go on.

    Attributes:
        position: t, int32 [].
        rows: Their numbers in the batch, int32 [A].
        request: Their part of what is asked.
        own: What the decoder keeps, a nest of tensors [A, ...].
        state: The model's.
    """

    position: tf.Tensor
    rows: tf.Tensor
    request: Request
    own: Any
    state: State


class Decoder(abc.ABC):
    """Decodes batches with a model; traced once."""

    def __init__(self, model: Decodable, *, beam_size: int = 1) -> None:
        """Wraps a model with K = `beam_size` prefixes a row; nothing is traced yet."""
        self._model = model
        self._size = beam_size
        self._traced = tf.function(
            self._decode, input_signature=[_SIGNATURE], autograph=False
        )

    @property
    def num_traces(self) -> int:
        """How often the decoder was traced in this process."""
        return int(self._traced.experimental_get_tracing_count())

    def __call__(self, asked: Request) -> Found:
        """Returns the hypotheses for a batch, as arrays."""
        return Found(*(part.numpy() for part in self._traced(asked)))

    def best(self, asked: Request) -> Found:
        """Builds the graph of the best hypotheses, for graphs that go further.

        Returns:
            Ids [B, t], log-probabilities and flags [B], for B at least 1.
        """
        found = self._decode(asked)
        return Found(*(part[:, 0] for part in found))

    @abc.abstractmethod
    def _begin(self, num_rows: tf.Tensor) -> Any:
        """Returns what the decoder keeps, before the first position."""

    @abc.abstractmethod
    def _advance(self, search: Search) -> Search:
        """Takes every row one position on; rows that are done must not change."""

    @abc.abstractmethod
    def _goes_on(self, search: Search) -> tf.Tensor:
        """Returns which rows are not done, bool [A]; at position 0 all are not."""

    @abc.abstractmethod
    def _found(self, own: Any) -> Found:
        """Returns what was found so far."""

    def _decode(self, asked: Request) -> Found:
        """Builds the graph: a loop over positions, in one that leaves rows behind."""
        num_rows = tf.shape(asked.src_ids)[0]
        state = self._model.start(asked.src_ids)
        repeated = tf.nest.map_structure(
            lambda part: tf.repeat(part, self._size, axis=0), state.prefix
        )
        begin = Search(
            position=tf.constant(0),
            rows=tf.range(num_rows),
            request=asked,
            own=self._begin(num_rows),
            state=state._replace(prefix=repeated),
        )

        def until_a_share_is_done(search: Search, found: Found) -> tuple[Search, Found]:
            enough = tf.size(search.rows) - 1 - tf.size(search.rows) // _COMPACT
            (search,) = _while(
                lambda now: _count(self._goes_on(now)) > enough,
                lambda now: (self._advance(now),),
                (search,),
            )
            found = _put(found, search.rows, self._found(search.own))
            return _selected(search, tf.where(self._goes_on(search))[:, 0]), found

        found: Found
        _, found = _while(
            lambda search, _: tf.size(search.rows) > 0,
            until_a_share_is_done,
            (begin, self._found(begin.own)),
        )
        return found


def for_each_prefix(state: State) -> Any:
    """Returns what belongs to the sources once for each prefix, [N, ...] each."""
    parts = tf.nest.flatten(state.source)
    if not parts:
        return state.source
    num_prefixes = tf.shape(tf.nest.flatten(state.prefix)[0])[0]
    times = num_prefixes // tf.shape(parts[0])[0]
    return tf.nest.map_structure(
        lambda part: tf.repeat(part, times, axis=0), state.source
    )


def log_normalizers(logits: tf.Tensor) -> tf.Tensor:
    """Returns log sum exp of float32 [N, V], [N].

    By way of softmax, which is one kernel: the largest probability is at least 1 / V,
    so its logarithm loses nothing.
    """
    largest = tf.reduce_max(tf.nn.softmax(logits), axis=-1)
    return tf.reduce_max(logits, axis=-1) - tf.math.log(largest)


def _count(flags: tf.Tensor) -> tf.Tensor:
    """Returns how many are set, int32 []."""
    return tf.math.count_nonzero(flags, dtype=tf.int32)


def _while(condition: Any, body: Any, begin: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns the end of a loop whose tensors may change all sizes."""
    sizes = tf.nest.map_structure(
        lambda part: tf.TensorShape([None] * part.shape.rank), begin
    )
    end: tuple[Any, ...] = tf.while_loop(condition, body, begin, shape_invariants=sizes)
    return end


def _put(everything: Found, rows: tf.Tensor, new: Found) -> Found:
    """Returns what was found for the batch, with new hypotheses of some rows."""
    more = tf.shape(new.ids)[2] - tf.shape(everything.ids)[2]
    padded = everything._replace(
        ids=tf.pad(everything.ids, [[0, 0], [0, 0], [0, more]])
    )
    return Found(
        *(
            tf.tensor_scatter_nd_update(old, rows[:, None], part)
            for old, part in zip(padded, new, strict=True)
        )
    )


def _selected(search: Search, chosen: tf.Tensor) -> Search:
    """Returns the search of some rows, by their places, int64 [A']."""
    num_rows = tf.shape(search.rows, out_type=tf.int64)[0]

    def gather(nest: Any, places: tf.Tensor) -> Any:
        return tf.nest.map_structure(lambda part: tf.gather(part, places), nest)

    def prefixes(part: tf.Tensor) -> tf.Tensor:
        times = tf.shape(part, out_type=tf.int64)[0] // tf.maximum(num_rows, 1)
        places = chosen[:, None] * times + tf.range(times)
        return tf.gather(part, tf.reshape(places, [-1]))

    return Search(
        position=search.position,
        rows=tf.gather(search.rows, chosen),
        request=gather(search.request, chosen),
        own=gather(search.own, chosen),
        state=State(
            source=gather(search.state.source, chosen),
            prefix=tf.nest.map_structure(prefixes, search.state.prefix),
        ),
    )
