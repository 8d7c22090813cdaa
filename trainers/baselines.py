"""What a model must beat: a dictionary that replaces token by token."""

import collections
import itertools
from collections.abc import Sequence

from pipeline import locations, records, vocabulary

_WORD_MARK = "\u2581"
_BATCH_RECORDS = 8192


class Dictionary:
    """Each source token's most frequent target token.

    It is learned from the training pairs whose sides have equally many tokens, as if
    they stood in the same order: for spelling to phonemes, each letter's most frequent
    phoneme.
    """

    def __init__(
        self, entries: dict[str, str], vocabularies: vocabulary.Vocabularies
    ) -> None:
        """Takes the entries, piece to piece."""
        self._entries = entries
        self._vocabularies = vocabularies

    @classmethod
    def learn(
        cls, shards: Sequence[locations.Location], vocabularies: vocabulary.Vocabularies
    ) -> "Dictionary":
        """Counts over the shards of a training split."""
        counts: dict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )
        batches = (records.read_ids(shard, _BATCH_RECORDS) for shard in shards)
        for src, tgt, _ in itertools.chain.from_iterable(batches):
            for src_ids, tgt_ids in zip(src.to_list(), tgt.to_list(), strict=True):
                one = _letters(vocabularies.src, src_ids)
                other = vocabularies.tgt.pieces(tgt_ids)
                if len(one) == len(other):
                    for left, right in zip(one, other, strict=True):
                        counts[left][right] += 1
        entries = {left: right.most_common(1)[0][0] for left, right in counts.items()}
        return cls(entries, vocabularies)

    def translate(self, text: str) -> str:
        """Returns the text with each known token replaced, others left out."""
        ids = self._vocabularies.src.encode([text])[0]
        pieces = _letters(self._vocabularies.src, ids)
        guessed = (self._entries.get(piece, "") for piece in pieces)
        return " ".join("".join(guessed).replace(_WORD_MARK, " ").split())


def _letters(side: vocabulary.Vocabulary, ids: Sequence[int]) -> list[str]:
    """Returns the pieces without those that only mark the beginning of a word."""
    return [piece for piece in side.pieces(ids) if piece != _WORD_MARK]
