"""Shards: what the workers encoded, written by one process in the order it was read."""

import collections
import contextlib
import hashlib
import itertools
import pathlib
import resource

import numpy as np

from pipeline import exits, files, manifest, sidecars
from preprocessing import accounts, cleaning, encoder, rejects_file

_WAITING_BYTES = 1 << 16  # of lengths, before they are written
_OTHER_FILES = 3  # shards of valid and test, rejects
_SPARE_FILES = 64  # what else a build opens: inputs, sidecars, pipes to workers
_OPEN_FILES = pathlib.Path("/dev/fd")


def allow_open(num_shards: int, subword_samples: int) -> None:
    """Lets this process open all the files of a `Writer`, which are open at once.

    Args:
        num_shards: Of the training split.
        subword_samples: Segmentations of each of them; 0 for the best one alone.

    Raises:
        exits.Refusal: If the machine does not let it.
    """
    open_now = len(list(_OPEN_FILES.glob("*")))
    needed = open_now + num_shards * max(1, subword_samples) + _OTHER_FILES
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < needed + _SPARE_FILES:
        asked = needed + _SPARE_FILES
        if most != resource.RLIM_INFINITY:
            asked = min(asked, most)
        with contextlib.suppress(OSError, ValueError):  # macOS has a lower one
            resource.setrlimit(resource.RLIMIT_NOFILE, (asked, most))
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        raise exits.Refusal(
            exits.USAGE,
            f"--num_shards={num_shards} with --subword_samples={subword_samples} needs "
            f"{needed} files open at once, and {allowed} may be; lower one of them, or "
            "raise ulimit -Hn",
        )


class Writer:
    """The shards, sidecars and rejects file of a data directory in the making."""

    def __init__(
        self,
        directory: pathlib.Path,
        num_shards: dict[str, int],
        num_segmentations: int,
        num_sources: int,
    ) -> None:
        """Opens the files.

        Args:
            directory: Where they are made.
            num_shards: How many each split has at most.
            num_segmentations: How many of each training shard there are.
            num_sources: How many sources are accounted for.
        """
        self._directory = directory
        self._histograms = {split: accounts.Histogram() for split in num_shards}
        self._shards = {
            (split, segmentation): [
                _OpenShard(
                    directory, split, segmentation, index, self._histograms[split]
                )
                for index in range(count)
            ]
            for split, count in num_shards.items()
            for segmentation in range(num_segmentations if split == "train" else 1)
        }
        self._splits = tuple(num_shards)
        self._counts: accounts.Counts = collections.Counter()
        self._num_sources = num_sources
        self._rejects_path = directory / "rejects.tsv.gz"
        self._rejects_file = self._rejects_path.open("wb")
        self._write_rejects(rejects_file.compressed(rejects_file.HEADER))

    @property
    def accounts(self) -> list[accounts.Account]:
        """What became of the rows of each source."""
        return accounts.by_source(self._counts, self._num_sources)

    def add(self, encoded: encoder.Encoded) -> None:
        """Writes what became of a chunk."""
        for part in encoded.parts:
            self._shards[part.split, part.segmentation][part.shard].add(part)
        self._write_rejects(encoded.rejects)
        self._counts.update(accounts.of(encoded))

    def close(self) -> dict[str, manifest.Split]:
        """Closes every file, on the disk, and returns what the manifest says of them.

        Shards that got no record are removed, and the rest renamed to say how many
        there are.
        """
        with files.named(self._rejects_path):
            self._rejects_file.close()
        files.fsync(self._rejects_path)
        return {split: self._close_split(split) for split in self._splits}

    def abandon(self) -> None:
        """Closes what is still open: the files of a build that failed."""
        for shard in itertools.chain(*self._shards.values()):
            shard.abandon()
        with contextlib.suppress(OSError):  # what brought us here is being reported
            self._rejects_file.close()

    def _write_rejects(self, lines: bytes) -> None:
        with files.named(self._rejects_path):
            self._rejects_file.write(lines)

    def _close_split(self, split: str) -> manifest.Split:
        segmentations = [
            _close_all(shards)
            for (name, _), shards in self._shards.items()
            if name == split
        ]
        histogram = self._histograms[split]
        return accounts.split(
            self._counts, split, segmentations, (histogram.values, histogram.counts)
        )


def _close_all(shards: list["_OpenShard"]) -> list[manifest.Shard]:
    """Closes the shards of a split; returns those that got a record."""
    used = [shard for shard in shards if shard.has_records]
    for shard in shards:
        if not shard.has_records:
            shard.remove()
    return [shard.close(index, len(used)) for index, shard in enumerate(used)]


class Tally:
    """What the manifest says of a sidecar, added up as it is written."""

    def __init__(self) -> None:
        self.records = 0
        self.tokens = np.zeros(2, np.int64)
        self._sha256 = hashlib.sha256()

    def add(self, lengths: bytes) -> np.ndarray:
        """Adds what comes next in the file; returns it as uint16 [N, 2]."""
        pairs = np.frombuffer(lengths, "<u2").reshape(-1, 2)
        self.records += len(pairs)
        self.tokens += pairs.sum(axis=0, dtype=np.int64)
        self._sha256.update(lengths)
        return pairs

    def described(self, name: str, num_bytes: int, sha256: str) -> manifest.Shard:
        """Returns what the manifest says of the shard.

        Args:
            name: Its file name.
            num_bytes: Its size.
            sha256: Of its bytes.
        """
        src_tokens, tgt_tokens = self.tokens.tolist()
        return manifest.Shard(
            name=name,
            records=self.records,
            src_tokens=src_tokens,
            tgt_tokens=tgt_tokens,
            bytes=num_bytes,
            sha256=sha256,
            lengths_sha256=self._sha256.hexdigest(),
        )


class _OpenShard:
    """A TFRecord file being written, and its sidecar.

    Lengths wait in memory until there are many: so the sidecar need not be open too,
    where there may be hundreds of shards.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        split: str,
        segmentation: int,
        index: int,
        histogram: accounts.Histogram,
    ) -> None:
        self._directory = directory
        self._split = split
        self._segmentation = segmentation
        self._path = directory / f"{split}.{segmentation}.{index}.partial"
        self._sidecar = self._path.with_suffix(".lengths.partial")
        self._file = self._path.open("wb")
        self._sha256 = hashlib.sha256()
        self._waiting = bytearray()
        self._tally = Tally()
        self._histogram = histogram

    @property
    def has_records(self) -> bool:
        return bool(self._waiting or self._tally.records)

    def add(self, part: encoder.ShardPart) -> None:
        with files.named(self._path):
            self._file.write(part.framed)
        self._sha256.update(part.framed)
        self._waiting += part.lengths
        if len(self._waiting) >= _WAITING_BYTES:
            self._write_lengths()

    def abandon(self) -> None:
        with contextlib.suppress(OSError):  # what brought us here is being reported
            self._file.close()

    def remove(self) -> None:
        self._file.close()
        self._path.unlink()

    def close(self, index: int, count: int) -> manifest.Shard:
        with files.named(self._path):
            self._file.close()
        self._write_lengths()
        name = manifest.shard_name(self._split, index, count, self._segmentation)
        path = self._path.rename(self._directory / name)
        files.fsync(path)
        files.fsync(self._sidecar.rename(sidecars.lengths_path(path)))
        size = path.stat().st_size
        return self._tally.described(name, size, self._sha256.hexdigest())

    def _write_lengths(self) -> None:
        lengths = bytes(self._waiting)
        self._waiting.clear()
        with files.named(self._sidecar), self._sidecar.open("ab") as file:
            file.write(lengths)
        self._histogram.add(self._tally.add(lengths))


def check_not_empty(splits: dict[str, manifest.Split]) -> None:
    """Refuses a data set without a training pair."""
    train = splits["train"]
    if not train.num_records:
        raise exits.Refusal(
            exits.BAD_DATA,
            f"0 training examples: {train.pairs_read} pairs read, left out "
            f"{train.rejects or 'none'}",
        )


def check_losses(
    names: list[str], found: list[accounts.Account], max_reject_fraction: float
) -> list[str]:
    """Returns a warning for each source that lost rows it should not have.

    Raises:
        exits.Refusal: If a source lost more than `max_reject_fraction` of them because
            it is not laid out or encoded as said.
    """
    warnings = []
    for name, account in zip(names, found, strict=True):
        if not account.rows:
            warnings.append(f"{name}: has no row")
        lost = {
            reason: account.rejects[reason]
            for reason in cleaning.MALFORMED
            if account.rejects[reason]
        }
        told = ", ".join(f"{reason} {count}" for reason, count in lost.items())
        if sum(lost.values()) > max_reject_fraction * account.rows:
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{name}: {sum(lost.values())} of {account.rows} rows cannot be read "
                f"as asked ({told}); see --format, --columns, --pattern, --encoding "
                "and --soft_labels, or accept the loss with --max_reject_fraction",
            )
        if lost:
            warnings.append(
                f"{name}: {sum(lost.values())} of {account.rows} rows cannot be read "
                f"as asked ({told}); they stand in rejects.tsv.gz"
            )
    return warnings
