"""What becomes of a chunk of rows: framed records for each shard, and rejects.

This is the work that many processes do at once. Nothing in it depends on other chunks:
a record's shard is its number within the chunk plus the chunk's, modulo the number of
shards, and what is drawn at random is drawn by hash or from a seed of the chunk.
"""

import collections
import dataclasses
import gzip
import hashlib
import pathlib
from typing import NamedTuple

import numpy as np

from pipeline import exits, manifest, records, vocabulary
from preprocessing import (
    cleaning,
    config,
    corpora,
    duplicates,
    labels,
    rows,
    splitting,
)

_MARKED = {
    duplicates.IS_DUPLICATE: cleaning.DUPLICATE,
    duplicates.IS_OVERLAP: cleaning.OVERLAP,
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What an encoder is made from; small, so that it can travel with every chunk.

    Attributes:
        src_model: SentencePiece model of the source.
        tgt_model: That of the target; None where there are labels.
        label_names: By id, where there are labels.
        num_shards: Of each split.
        build: The settings.
    """

    src_model: pathlib.Path
    tgt_model: pathlib.Path | None
    label_names: tuple[str, ...]
    num_shards: tuple[tuple[str, int], ...]
    build: config.BuildConfig


class Work(NamedTuple):
    """A chunk, and which of its training rows are left out.

    Attributes:
        chunk: The rows.
        marks: One byte a row, see `duplicates`; None where all are kept.
    """

    chunk: corpora.Chunk
    marks: bytes | None


class ShardPart(NamedTuple):
    """Records that one chunk adds to one shard.

    Attributes:
        split: The shard's.
        segmentation: The shard's, from 0; see `--subword_samples`.
        shard: Its index.
        framed: The records as they stand in the file.
        lengths: Two little-endian uint16 a record, as they stand in its sidecar.
    """

    split: str
    segmentation: int
    shard: int
    framed: bytes
    lengths: bytes


class Encoded(NamedTuple):
    """What became of a chunk.

    Attributes:
        source: Index of its source.
        num_rows: Its rows.
        parts: Records, by shard.
        kept: Pairs kept, by split.
        repeats: Records beyond the first of a pair, because of weights, by split.
        truncated: Pairs cut to the longest length, by split.
        reasons: Pairs left out, by (split, reason).
        rejects: Their lines of the rejects file, compressed; empty if there are none.
    """

    source: int
    num_rows: int
    parts: list[ShardPart]
    kept: collections.Counter[str]
    repeats: collections.Counter[str]
    truncated: collections.Counter[str]
    reasons: collections.Counter[tuple[str, str]]
    rejects: bytes


class _Pair(NamedTuple):
    """A pair whose text is kept; what its ids are is not known yet."""

    row: rows.Row
    split: str
    src: str
    tgt: str
    references: tuple[bytes, ...]
    copies: int
    label: labels.Label | None


class _Kept(NamedTuple):
    """A pair that is written, and its ids."""

    pair: _Pair
    src_ids: list[int]
    tgt_ids: list[int]


class _Reject(NamedTuple):
    """A pair that is left out."""

    split: str
    line: int
    reason: str
    text: bytes


def make(recipe: Recipe) -> "Encoder":
    """Returns what `workers.Pool.map` calls for each chunk."""
    return Encoder(recipe)


class Encoder:
    """Vocabularies, bounds, and how rows are dealt to splits and shards."""

    def __init__(self, recipe: Recipe) -> None:
        """Loads the vocabularies."""
        self._build = recipe.build
        self._num_shards = dict(recipe.num_shards)
        self._src = vocabulary.Vocabulary(recipe.src_model)
        self._tgt: vocabulary.Vocabulary | None = None
        self._labels: labels.Labels | None = None
        if recipe.tgt_model is None:
            self._labels = labels.Labels(recipe.label_names, recipe.build.task)
        else:
            self._tgt = vocabulary.Vocabulary(recipe.tgt_model)

    def __call__(self, work: Work) -> Encoded:
        """Returns what becomes of each row."""
        pairs, rejects = self._texts(work)
        kept, too_long_or_short, truncated = self._bounded(pairs)
        rejects += too_long_or_short
        repeats = collections.Counter[str]()
        for pair, _, _ in kept:
            if pair.copies > 1:
                repeats[pair.split] += pair.copies - 1
        return Encoded(
            source=work.chunk.source,
            num_rows=work.chunk.size,
            parts=self._parts(work.chunk.number, kept),
            kept=collections.Counter([pair.split for pair, _, _ in kept]),
            repeats=repeats,
            truncated=truncated,
            reasons=collections.Counter(
                [(reject.split, reject.reason) for reject in rejects]
            ),
            rejects=_reject_lines(work.chunk.name, rejects),
        )

    def _texts(self, work: Work) -> tuple[list[_Pair], list[_Reject]]:
        """Returns the pairs whose text is kept, and the others."""
        pairs: list[_Pair] = []
        rejects: list[_Reject] = []
        fixed = work.chunk.split
        marks = work.marks or bytes(work.chunk.size)
        for row, mark in zip(work.chunk.rows(), marks, strict=True):
            split = fixed or splitting.split_of(work.chunk, row, self._build)
            found = self._text(work.chunk, row, split, mark)
            if isinstance(found, str):
                rejects.append(_Reject(split, row.line, found, _shown(row)))
            else:
                pairs += found
        return pairs, rejects

    def _text(
        self, chunk: corpora.Chunk, row: rows.Row, split: str, mark: int
    ) -> list[_Pair] | str:
        """Returns the pairs that a row holds, or the reason why it is left out."""
        train = split == "train"
        result = cleaning.clean_text(row, self._build.cleaning, keep=not train)
        if isinstance(result, str):
            return result
        copies = 1
        if train:
            if mark:
                return _MARKED[mark]
            if chunk.weight != 1:
                copies = splitting.copies(chunk, row, self._build)
            if not copies:
                return cleaning.WEIGHT
        src, references = result
        if self._labels is not None:
            label = self._label(self._labels, row, references[0], split, chunk.name)
            if label is None:
                return cleaning.LABEL
            return [_Pair(row, split, src, "", row.references, copies, label)]
        if train and len(references) > 1:  # each is something to learn from
            return [
                _Pair(row, split, src, tgt, (raw,), copies, None)
                for tgt, raw in zip(references, row.references, strict=True)
            ]
        return [_Pair(row, split, src, references[0], row.references, copies, None)]

    def _label(
        self, known: labels.Labels, row: rows.Row, text: str, split: str, name: str
    ) -> labels.Label | None:
        """Returns a row's label, or None for shares of training that cannot be read.

        Raises:
            exits.Refusal: If there is no such class, or a held-out row has no label.
        """
        try:
            return known.read(text)
        except ValueError as error:
            unknown = isinstance(error, labels.UnknownLabelError)
            if split == "train" and not unknown:
                return None
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{name}, line {row.line} ({split}): {error}; see --label_names and "
                "--label_map",
            ) from None

    def _bounded(
        self, pairs: list[_Pair]
    ) -> tuple[list[_Kept], list[_Reject], collections.Counter[str]]:
        """Returns the pairs whose ids are kept, the others, and how many were cut."""
        bounds = self._build.cleaning
        kept, rejects = [], []
        truncated = collections.Counter[str]()
        for pair, src_ids, tgt_ids in zip(pairs, *self._ids(pairs), strict=True):
            num_src, num_tgt = len(src_ids), len(tgt_ids)
            longer = max(num_src, num_tgt)
            reason: str | None = None
            cut = False
            if longer > records.MAX_LENGTH:
                reason = cleaning.TOO_LONG  # a character can become many
            elif pair.split == "train":
                other = num_tgt if pair.label is None else num_src
                reason = cleaning.check_lengths(num_src, other, bounds)
                cut = longer >= bounds.max_length
            if reason is not None:
                text = b"\t".join((pair.row.src, *pair.references))
                rejects.append(_Reject(pair.split, pair.row.line, reason, text))
            elif cut:
                truncated[pair.split] += 1
                kept.append(_Kept(pair, self._cut(src_ids), self._cut(tgt_ids)))
            else:
                kept.append(_Kept(pair, src_ids, tgt_ids))
        return kept, rejects, truncated

    def _ids(self, pairs: list[_Pair]) -> tuple[list[list[int]], list[list[int]]]:
        """Returns the best segmentation of each pair."""
        src = self._src.encode([pair.src for pair in pairs])
        if self._tgt is None:
            return src, [[] for _ in pairs]
        return src, self._tgt.encode([pair.tgt for pair in pairs])

    def _cut(self, ids: list[int]) -> list[int]:
        return ids[: self._build.cleaning.max_length - 1]

    def _parts(self, index: int, kept: list[_Kept]) -> list[ShardPart]:
        """Returns the records of chunk `index`, by split, segmentation and shard."""
        parts = []
        for split in manifest.SPLITS:
            own = [entry for entry in kept if entry[0].split == split]
            if not own:
                continue
            if split != "train" or not self._build.subwords.subword_samples:
                parts += self._dealt(index, split, 0, own)
                continue
            for number in range(self._build.subwords.subword_samples):
                drawn = self._resegmented(index, number, own)
                parts += self._dealt(index, split, number, drawn)
        return parts

    def _resegmented(self, index: int, number: int, kept: list[_Kept]) -> list[_Kept]:
        """Returns the pairs with segmentation `number` drawn for them.

        One that is too long for training gives way to the best one.
        """
        sides = []
        for side, model, texts, best in (
            ("src", self._src, [e.pair.src for e in kept], [e.src_ids for e in kept]),
            ("tgt", self._tgt, [e.pair.tgt for e in kept], [e.tgt_ids for e in kept]),
        ):
            fixed = self._build.subwords.type(side) in ("char", "word")
            if model is None or fixed:
                sides.append(best)
                continue
            key = f"{self._build.output.seed} {index} {number} {side}"
            digest = hashlib.blake2b(key.encode(), digest_size=4).digest()
            drawn = model.sample(
                texts,
                alpha=self._build.subwords.sampling_alpha,
                seed=int.from_bytes(digest, "little"),
            )
            sides.append(
                [
                    ids if 0 < len(ids) < self._build.cleaning.max_length else other
                    for ids, other in zip(drawn, best, strict=True)
                ]
            )
        return [
            _Kept(entry.pair, src_ids, tgt_ids)
            for entry, src_ids, tgt_ids in zip(kept, *sides, strict=True)
        ]

    def _dealt(
        self, index: int, split: str, segmentation: int, kept: list[_Kept]
    ) -> list[ShardPart]:
        """Returns the records, dealt to the shards of their split in turn."""
        with_text = split != "train" or self._build.output.store_text
        framed: list[bytes] = []
        lengths: list[int] = []  # source, target, source, target, ...
        for entry in kept:
            pair, src_ids, tgt_ids = entry
            if with_text or pair.label is not None:
                record = self._serialized(entry, with_text)
            else:
                record = records.serialize(src_ids, tgt_ids)
            for _ in range(pair.copies):
                framed.append(records.frame(record))
                lengths += (len(src_ids), len(tgt_ids))
        sidecar = np.array(lengths, "<u2").reshape(-1, 2)
        count = self._num_shards[split]
        return [
            ShardPart(
                split,
                segmentation,
                (first + index) % count,
                b"".join(framed[first::count]),
                sidecar[first::count].tobytes(),
            )
            for first in range(min(count, len(framed)))
        ]

    def _serialized(self, entry: _Kept, with_text: bool) -> bytes:
        pair = entry.pair
        src_text = pair.row.src if with_text else None
        if pair.label is None:
            texts = pair.references if with_text else ()
            return records.serialize(entry.src_ids, entry.tgt_ids, src_text, texts)
        name = self._labels.names[pair.label.id].encode() if self._labels else b""
        return records.serialize_labelled(
            entry.src_ids, pair.label.id, pair.label.shares, src_text, name
        )


def _shown(row: rows.Row) -> bytes:
    return b"\t".join((row.src, *row.references))


def _reject_lines(name: str, rejects: list[_Reject]) -> bytes:
    """Returns lines of the rejects file as one gzip member."""
    if not rejects:
        return b""
    lines = []
    for reject in rejects:
        text = reject.text.decode(errors="backslashreplace")
        escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
        escaped = escaped.replace("\r", "\\r")
        fields = (name, str(reject.line), reject.reason, escaped)
        lines.append("\t".join(fields) + "\n")
    return compressed("".join(lines).encode())


def compressed(content: bytes) -> bytes:
    """Returns a gzip member without name or time; members may follow each other."""
    return gzip.compress(content, compresslevel=6, mtime=0)
