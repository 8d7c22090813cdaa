"""What becomes of a chunk of rows: framed records for each shard, and rejects.

This is the work that many processes do at once. Nothing in it depends on other chunks:
a record's shard is its number within the chunk plus the chunk's, modulo the number of
shards, and what is drawn at random is drawn by hash or from a seed of the chunk.
"""

import collections
import dataclasses
import hashlib
import itertools
from typing import NamedTuple

import numpy as np

from pipeline import frames, locations, manifest, records, sidecars, vocabulary
from preprocessing import chunks, cleaning, config, kept_pairs, labels, rejects_file


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What an encoder is made from; small, so that it can travel with every chunk.

    Attributes:
        src_model: SentencePiece model of the source.
        tgt_model: That of the target; None where there are labels.
        label_names: By id, where there are labels.
        renamed: What `--label_map` says, old and new names, read once for all workers;
            None where labels keep theirs.
        num_shards: Of each split.
        build: The settings.
    """

    src_model: locations.Location
    tgt_model: locations.Location | None
    label_names: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...] | None
    num_shards: tuple[tuple[str, int], ...]
    build: config.BuildConfig


class Work(NamedTuple):
    """A chunk, and which of its training rows are left out.

    Attributes:
        chunk: The rows.
        marks: One byte a row, see `duplicates`; None where all are kept.
    """

    chunk: chunks.Chunk
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
        unknown: Subwords that the vocabularies do not have, by (split, side), and
            records that have any, by (split, "records"); of the best segmentation.
        reasons: Pairs left out, by (split, reason).
        rejects: Their lines of the rejects file, compressed; empty if there are none.
    """

    source: int
    num_rows: int
    parts: list[ShardPart]
    kept: collections.Counter[str]
    repeats: collections.Counter[str]
    truncated: collections.Counter[str]
    unknown: collections.Counter[tuple[str, str]]
    reasons: collections.Counter[tuple[str, str]]
    rejects: bytes


class _Ids(NamedTuple):
    """Subwords of each pair."""

    src: list[list[int]]
    tgt: list[list[int]]


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
            self._labels = labels.Labels(
                recipe.label_names,
                renamed=None if recipe.renamed is None else dict(recipe.renamed),
                soft=recipe.build.task.soft_labels,
            )
        else:
            self._tgt = vocabulary.Vocabulary(recipe.tgt_model)

    def __call__(self, work: Work) -> Encoded:
        """Returns what becomes of each row."""
        pairs, rejects = kept_pairs.of_chunk(
            work.chunk, work.marks, self._build, self._labels
        )
        ids = self._ids(pairs)
        kept, too_long_or_short, truncated = self._bounded(pairs, ids)
        rejects += too_long_or_short
        repeats = collections.Counter[str]()
        for index in kept:
            if pairs.copies[index] > 1:
                repeats[pairs.splits[index]] += pairs.copies[index] - 1
        return Encoded(
            source=work.chunk.source,
            num_rows=work.chunk.size,
            parts=self._parts(work.chunk.number, pairs, ids, kept, truncated),
            kept=collections.Counter([pairs.splits[index] for index in kept]),
            repeats=repeats,
            truncated=collections.Counter([pairs.splits[index] for index in truncated]),
            unknown=_unknown(pairs, ids, kept),
            reasons=collections.Counter(
                [(reject.split, reject.reason) for reject in rejects]
            ),
            rejects=rejects_file.lines(work.chunk.name, rejects),
        )

    def _bounded(
        self, pairs: kept_pairs.Pairs, ids: _Ids
    ) -> tuple[list[int], list[rejects_file.Reject], set[int]]:
        """Returns which pairs are kept, the others, and which were cut, in `ids`."""
        bounds = self._build.cleaning
        num_src = np.fromiter(map(len, ids.src), np.int64, len(ids.src))
        num_tgt = np.fromiter(map(len, ids.tgt), np.int64, len(ids.tgt))
        other = num_src if self._tgt is None else num_tgt
        unusual = ~cleaning.plainly_good_lengths(num_src, other, bounds)
        rejects: list[rejects_file.Reject] = []
        truncated: set[int] = set()
        for index in np.flatnonzero(unusual).tolist():
            split, row = pairs.splits[index], pairs.rows[index]
            longer = max(num_src[index], num_tgt[index])
            reason: str | None = None
            if longer > sidecars.MAX_LENGTH:
                reason = cleaning.TOO_LONG  # a character can become many
            elif split == "train":
                reason = cleaning.check_lengths(num_src[index], other[index], bounds)
            if reason is not None:
                text = b"\t".join((row.src, *pairs.references[index]))
                rejects.append(rejects_file.Reject(split, row.line, reason, text))
                continue
            unusual[index] = False
            if split == "train" and longer >= bounds.max_length:
                truncated.add(index)
                for side in ids:
                    side[index] = side[index][: bounds.max_length - 1]
        return np.flatnonzero(~unusual).tolist(), rejects, truncated

    def _ids(self, pairs: kept_pairs.Pairs) -> _Ids:
        """Returns the best segmentation of each pair."""
        src = self._src.encode(pairs.src)
        if self._tgt is None:
            return _Ids(src, [[] for _ in src])
        return _Ids(src, self._tgt.encode(pairs.tgt))

    def _parts(
        self,
        index: int,
        pairs: kept_pairs.Pairs,
        ids: _Ids,
        kept: list[int],
        truncated: set[int],
    ) -> list[ShardPart]:
        """Returns the records of chunk `index`, by split, segmentation and shard."""
        parts = []
        by_split = collections.defaultdict[str, list[int]](list)
        for pair in kept:
            by_split[pairs.splits[pair]].append(pair)
        for split in manifest.SPLITS:
            own = by_split[split]
            if not own:
                continue
            best = _Ids(
                [ids.src[pair] for pair in own], [ids.tgt[pair] for pair in own]
            )
            if split != "train" or not self._build.subwords.subword_samples:
                parts += self._dealt(index, split, 0, pairs, own, best)
                continue
            for number in range(self._build.subwords.subword_samples):
                drawn = self._resegmented(index, number, pairs, own, best, truncated)
                parts += self._dealt(index, split, number, pairs, own, drawn)
        return parts

    def _resegmented(
        self,
        index: int,
        number: int,
        pairs: kept_pairs.Pairs,
        own: list[int],
        best: _Ids,
        truncated: set[int],
    ) -> _Ids:
        """Returns segmentation `number`, drawn for the pairs `own`.

        One that is too long for training gives way to the best one, and so do those of
        a pair that was cut: another segmentation would be of more text.
        """
        sides = []
        for side, model, texts, otherwise in (
            ("src", self._src, pairs.src, best.src),
            ("tgt", self._tgt, pairs.tgt, best.tgt),
        ):
            if model is None or not model.has_segmentations:
                sides.append(otherwise)
                continue
            key = f"{self._build.output.seed} {index} {number} {side}"
            digest = hashlib.blake2b(key.encode(), digest_size=4).digest()
            drawn = model.sample(
                [texts[pair] for pair in own],
                alpha=self._build.subwords.sampling_alpha,
                seed=int.from_bytes(digest, "little"),
            )
            sides.append(
                [
                    ids
                    if 0 < len(ids) < self._build.cleaning.max_length
                    and pair not in truncated
                    else other
                    for pair, ids, other in zip(own, drawn, otherwise, strict=True)
                ]
            )
        return _Ids(*sides)

    def _dealt(
        self,
        index: int,
        split: str,
        segmentation: int,
        pairs: kept_pairs.Pairs,
        own: list[int],
        ids: _Ids,
    ) -> list[ShardPart]:
        """Returns the records, dealt to the shards of their split in turn."""
        with_text = split != "train" or self._build.output.store_text
        num_src = list(map(len, ids.src))
        num_tgt = list(map(len, ids.tgt))
        if with_text or self._labels is not None:
            framed = [
                frames.frame(self._serialized(pairs, pair, src_ids, tgt_ids, with_text))
                for pair, src_ids, tgt_ids in zip(own, *ids, strict=True)
            ]
        else:
            framed = records.framed_pairs(ids.src, ids.tgt)
        lengths = np.array((num_src, num_tgt), "<u2").T  # [N, 2]
        copies = [pairs.copies[pair] for pair in own]
        if max(copies) > 1:
            framed = [
                record
                for record, times in zip(framed, copies, strict=True)
                for _ in range(times)
            ]
            lengths = np.repeat(lengths, copies, axis=0)
        count = self._num_shards[split]
        return [
            ShardPart(
                split,
                segmentation,
                (first + index) % count,
                b"".join(framed[first::count]),
                lengths[first::count].tobytes(),
            )
            for first in range(min(count, len(framed)))
        ]

    def _serialized(
        self,
        pairs: kept_pairs.Pairs,
        pair: int,
        src_ids: list[int],
        tgt_ids: list[int],
        with_text: bool,
    ) -> bytes:
        """Returns the record of a pair that has its text or a label in it."""
        src_text = pairs.rows[pair].src if with_text else None
        label = pairs.labels[pair]
        if self._labels is None or label is None:
            texts = pairs.references[pair] if with_text else ()
            return records.serialize(src_ids, tgt_ids, src_text, texts)
        return records.serialize_labelled(
            src_ids,
            label.id,
            label.shares,
            src_text,
            self._labels.names[label.id].encode(),
        )


def _unknown(
    pairs: kept_pairs.Pairs, ids: _Ids, kept: list[int]
) -> collections.Counter[tuple[str, str]]:
    """Returns how much of the records to be written is unknown: see `Encoded`."""
    unk = itertools.repeat(vocabulary.UNK_ID)
    src, tgt = (list(map(list.count, side, unk)) for side in ids)
    found = collections.Counter[tuple[str, str]]()
    if not any(src) and not any(tgt):
        return found
    for index in kept:
        if src[index] or tgt[index]:
            split, copies = pairs.splits[index], pairs.copies[index]
            found[split, "src"] += copies * src[index]
            found[split, "tgt"] += copies * tgt[index]
            found[split, "records"] += copies
    return found
