"""Rows to shards: many processes encode, one writes, and the bytes do not depend on it.

Rows travel in chunks of a fixed size and come back in order, and a record's shard is
its number modulo the number of shards, so neither the number of workers nor their speed
can be seen in the result.
"""

import array
import collections
import concurrent.futures
import contextlib
import gzip
import hashlib
import itertools
import multiprocessing
import pathlib
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from pipeline import exits, files, manifest, records, vocabulary
from preprocessing import cleaning as cleaning_lib
from preprocessing import config, corpora

_CHUNK_ROWS = 2_000
_CHUNKS_AHEAD = 4  # for each worker
_SPLITS = manifest.SPLITS


class Chunk(NamedTuple):
    """Rows of one source, in order."""

    source: str
    split: str | None
    rows: list[corpora.Row]


class Record(NamedTuple):
    """A pair as it is written."""

    split: int  # index into manifest.SPLITS
    framed: bytes
    num_src: int
    num_tgt: int


class Reject(NamedTuple):
    """A pair that is left out."""

    split: int
    source: str
    line: int
    reason: str
    text: bytes


class Encoder:
    """What a worker knows: vocabularies, bounds, and how rows are dealt to splits."""

    def __init__(
        self,
        src_model: pathlib.Path,
        tgt_model: pathlib.Path,
        build: config.BuildConfig,
    ) -> None:
        """Loads the vocabularies."""
        self._src = vocabulary.Vocabulary(src_model)
        self._tgt = vocabulary.Vocabulary(tgt_model)
        self._build = build

    def encode(self, chunk: Chunk) -> list[Record | Reject]:
        """Returns what becomes of each row, in order."""
        splits = [split_of(chunk.split, row, self._build) for row in chunk.rows]
        cleaned = [
            cleaning_lib.clean_text(row, self._build.cleaning, keep=split != "train")
            for row, split in zip(chunk.rows, splits, strict=True)
        ]
        pairs = [pair for pair in cleaned if isinstance(pair, cleaning_lib.Pair)]
        ids = zip(
            self._src.encode([pair.src for pair in pairs]),
            self._tgt.encode([pair.references[0] for pair in pairs]),
            strict=True,
        )
        return [
            self._outcome(chunk, row, split, result, ids)
            for row, split, result in zip(chunk.rows, splits, cleaned, strict=True)
        ]

    def _outcome(
        self,
        chunk: Chunk,
        row: corpora.Row,
        split: str,
        result: cleaning_lib.Pair | str,
        ids: Iterator[tuple[list[int], list[int]]],
    ) -> Record | Reject:
        index = _SPLITS.index(split)
        reason: str | None
        if isinstance(result, str):
            reason = result
        else:
            src_ids, tgt_ids = next(ids)
            reason = None
            if max(len(src_ids), len(tgt_ids)) > records.MAX_LENGTH:
                reason = cleaning_lib.TOO_LONG  # a character can become many
            elif split == "train":
                reason = cleaning_lib.check_lengths(
                    len(src_ids), len(tgt_ids), self._build.cleaning
                )
        if reason is not None:
            text = b"\t".join((row.src, *row.references))
            return Reject(index, chunk.source, row.line, reason, text)
        texts: tuple[bytes | None, tuple[bytes, ...]] = (None, ())
        if split != "train" or self._build.output.store_text:
            texts = (row.src, row.references)
        data = records.serialize(src_ids, tgt_ids, *texts)
        return Record(index, records.frame(data), len(src_ids), len(tgt_ids))


def split_of(fixed: str | None, row: corpora.Row, build: config.BuildConfig) -> str:
    """Returns the split of a row: that of its source, or by a hash of the row."""
    if fixed is not None:
        return fixed
    by_source = build.corpus.split_by == "source"
    key = row.src if by_source else row.line.to_bytes(8, "little")
    seed = build.output.seed.to_bytes(8, "little", signed=True)
    digest = hashlib.blake2b(key, digest_size=8, key=seed).digest()
    position = int.from_bytes(digest, "little") / 2**64
    if position < build.corpus.test_fraction:
        return "test"
    if position < build.corpus.test_fraction + build.corpus.valid_fraction:
        return "valid"
    return "train"


def chunks(sources: Iterable[corpora.Source]) -> Iterator[Chunk]:
    """Yields the rows of all sources, in order, a chunk at a time."""
    for source in sources:
        rows = source.rows()
        while part := list(itertools.islice(rows, _CHUNK_ROWS)):
            yield Chunk(source.name, source.split, part)


def encode_all(
    stream: Iterable[Chunk], make_encoder: Callable[[], Encoder], num_workers: int
) -> Iterator[list[Record | Reject]]:
    """Yields the outcome of each chunk, in order.

    Args:
        stream: The chunks.
        make_encoder: Picklable; called once in each worker.
        num_workers: Processes; with 1 the work is done in this one.
    """
    if num_workers == 1:
        encoder = make_encoder()
        yield from map(encoder.encode, stream)
        return
    with concurrent.futures.ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(make_encoder,),
    ) as executor:
        waiting: collections.deque[concurrent.futures.Future] = collections.deque()
        try:
            for chunk in stream:
                waiting.append(executor.submit(_encode, chunk))
                if len(waiting) > num_workers * _CHUNKS_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            executor.shutdown(cancel_futures=True)


class Writer:
    """The shards, sidecars and rejects file of a data directory in the making."""

    def __init__(self, directory: pathlib.Path, num_shards: dict[str, int]) -> None:
        """Opens the files; `num_shards` says how many each split has at most."""
        self._directory = directory
        self._shards = {
            split: [
                _OpenShard(directory / _name(split, index, count))
                for index in range(count)
            ]
            for split, count in num_shards.items()
        }
        self._written = dict.fromkeys(num_shards, 0)
        self._rejects = {split: collections.Counter[str]() for split in num_shards}
        self._rejects_file = gzip.GzipFile(directory / "rejects.tsv.gz", "wb", mtime=0)
        self._rejects_file.write(b"source\tline\treason\ttext\n")

    def add(self, outcome: Record | Reject) -> None:
        """Writes one record, or one line of the rejects file."""
        split = _SPLITS[outcome.split]
        if isinstance(outcome, Reject):
            self._rejects[split][outcome.reason] += 1
            self._rejects_file.write(_reject_line(outcome))
            return
        shards = self._shards[split]
        shards[self._written[split] % len(shards)].add(outcome)
        self._written[split] += 1

    def close(self) -> dict[str, manifest.Split]:
        """Closes every file, on the disk, and returns what the manifest says of them.

        Shards that got no record are removed, and the rest renamed to say how many
        there are.
        """
        self._rejects_file.close()
        files.fsync(self._directory / "rejects.tsv.gz")
        return {split: self._close_split(split) for split in self._shards}

    def abandon(self) -> None:
        """Closes the files of a build that failed; they are about to be removed."""
        for shard in itertools.chain(*self._shards.values()):
            shard.abandon()
        with contextlib.suppress(OSError):  # what brought us here is being reported
            self._rejects_file.close()

    def _close_split(self, split: str) -> manifest.Split:
        used = [shard for shard in self._shards[split] if shard.lengths]
        empty = [shard for shard in self._shards[split] if not shard.lengths]
        for shard in empty:
            shard.abandon()
            shard.path.unlink()
        lengths = np.concatenate(
            [np.zeros((0, 2), np.uint16), *(shard.as_pairs() for shard in used)]
        )
        values, counts = np.unique(lengths, axis=0, return_counts=True)
        rejects = dict(sorted(self._rejects[split].items()))
        return manifest.Split(
            shards=[
                shard.close(_name(split, index, len(used)))
                for index, shard in enumerate(used)
            ],
            pairs_read=self._written[split] + sum(rejects.values()),
            rejects=rejects,
            histogram={
                "src": values[:, 0].tolist(),
                "tgt": values[:, 1].tolist(),
                "pairs": counts.tolist(),
            },
        )


class _OpenShard:
    """A TFRecord file being written, and the lengths for its sidecar."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.lengths = array.array("H")  # source, target, source, target, ...
        self._file = path.open("wb")
        self._sha256 = hashlib.sha256()

    def add(self, record: Record) -> None:
        self._file.write(record.framed)
        self._sha256.update(record.framed)
        self.lengths.extend((record.num_src, record.num_tgt))

    def as_pairs(self) -> np.ndarray:
        return np.asarray(self.lengths, "<u2").reshape(-1, 2)

    def abandon(self) -> None:
        with contextlib.suppress(OSError):  # what brought us here is being reported
            self._file.close()

    def close(self, name: str) -> manifest.Shard:
        self._file.close()
        path = self.path.rename(self.path.with_name(name))
        lengths = self.as_pairs()
        sidecar = records.lengths_path(path)
        sidecar.write_bytes(lengths.tobytes())
        files.fsync(path)
        files.fsync(sidecar)
        src_tokens, tgt_tokens = lengths.sum(axis=0, dtype=np.int64).tolist()
        return manifest.Shard(
            name=name,
            records=len(lengths),
            src_tokens=src_tokens,
            tgt_tokens=tgt_tokens,
            bytes=path.stat().st_size,
            sha256=self._sha256.hexdigest(),
            lengths_sha256=hashlib.sha256(lengths.tobytes()).hexdigest(),
        )


def _name(split: str, index: int, count: int) -> str:
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def _reject_line(reject: Reject) -> bytes:
    text = reject.text.decode(errors="backslashreplace")
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    fields = (reject.source, str(reject.line), reject.reason, escaped)
    return ("\t".join(fields) + "\n").encode()


_worker: Encoder


def _start_worker(make_encoder: Callable[[], Encoder]) -> None:
    global _worker  # noqa: PLW0603 - the one object a pool's worker process keeps
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides
    _worker = make_encoder()


def _encode(chunk: Chunk) -> list[Record | Reject]:
    return _worker.encode(chunk)


def check_not_empty(splits: dict[str, manifest.Split]) -> None:
    """Refuses a data set without a training pair."""
    train = splits["train"]
    if not train.num_records:
        raise exits.Refusal(
            exits.BAD_DATA,
            f"0 training examples: {train.pairs_read} pairs read, left out "
            f"{train.rejects or 'none'}",
        )
