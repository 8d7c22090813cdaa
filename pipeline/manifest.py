"""The manifest of a data directory: what is in it, whole, or there is no data set.

`manifest.json` is written last. Everything that reads a data directory starts here, and
checks sizes and counts before it uses a file: a TFRecord file that was cut at a record
boundary reads as a shorter file, without an error.
"""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from pipeline import exits, files, locations, sidecars

FILENAME = "manifest.json"
FORMAT_VERSION = 2
_READABLE_VERSIONS = (1, 2)
SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One TFRecord file and its sidecar of lengths."""

    name: str
    records: int
    src_tokens: int
    tgt_tokens: int
    bytes: int
    sha256: str
    lengths_sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """The shards of one split, and what became of every pair read for it.

    pairs_read + repeats = records + rejects, for every segmentation.
    """

    shards: list[Shard]
    # Further segmentations of the same records, drawn at random: --subword_samples.
    resampled: list[list[Shard]] = dataclasses.field(default_factory=list)
    pairs_read: int
    repeats: int = 0  # records beyond the first of a pair: --train_weights
    truncated: int = 0  # pairs that were cut: --overlong=truncate
    # Subwords in the shards that the vocabularies do not have, of "src" and "tgt", and
    # "records" that have any; empty where it was not counted.
    unknown: dict[str, int] = dataclasses.field(default_factory=dict)
    rejects: dict[str, int]  # reason -> pairs
    # Joint histogram of lengths in tokens: columns src, tgt, pairs; of all
    # segmentations together.
    histogram: dict[str, list[int]]

    @property
    def num_records(self) -> int:
        """Records in all shards, of one segmentation."""
        return sum(shard.records for shard in self.shards)

    @property
    def segmentations(self) -> list[list[Shard]]:
        """The shards of each segmentation; one list where none were drawn."""
        return [self.shards, *self.resampled]

    @property
    def all_shards(self) -> list[Shard]:
        """The shards of all segmentations."""
        return [shard for shards in self.segmentations for shard in shards]

    def joint_histogram(self) -> np.ndarray:
        """Returns int64 [K, 3]: source tokens, target tokens, number of pairs."""
        columns = [self.histogram[name] for name in ("src", "tgt", "pairs")]
        return np.asarray(columns, np.int64).reshape(3, -1).T


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A SentencePiece model in the data directory."""

    filename: str
    sha256: str
    size: int  # pieces, special ones included


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a data directory says about itself."""

    format_version: int
    settings: dict[str, Any]
    sources: list[dict[str, Any]]
    special_ids: dict[str, int]
    src_vocabulary: Vocabulary
    tgt_vocabulary: Vocabulary | None  # none where there are labels
    splits: dict[str, Split]
    label_names: list[str] = dataclasses.field(default_factory=list)  # by id
    # For valid and test: training pairs that are in them, and those whose source is.
    overlap: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)

    def pair_vocabularies(self) -> tuple[Vocabulary, Vocabulary]:
        """Returns the vocabularies of source and target, or refuses labels."""
        if self.tgt_vocabulary is None:
            raise exits.Refusal(
                exits.BAD_DATA,
                "the data directory holds texts with labels, not pairs of texts; build "
                "one with --task=pairs",
            )
        return self.src_vocabulary, self.tgt_vocabulary

    def classes(self) -> list[str]:
        """Returns the names of the labels, by id, or refuses pairs."""
        if self.tgt_vocabulary is not None:
            raise exits.Refusal(
                exits.BAD_DATA,
                "the data directory holds pairs of texts, not texts with labels; build "
                "one with --task=labels",
            )
        return self.label_names

    def shard_paths(
        self, data_dir: locations.Location, split: str
    ) -> list[locations.Location]:
        """Returns the shards of a split, in order."""
        return [data_dir / shard.name for shard in self.split(split).shards]

    def split(self, name: str) -> Split:
        """Returns a split that has records, or refuses."""
        found = self.splits.get(name)
        if found is None or not found.num_records:
            have = [key for key, split in self.splits.items() if split.num_records]
            raise exits.Refusal(
                exits.BAD_DATA,
                f"the data directory has no {name!r} examples, it has {have}; build it "
                f"with --{name}_src and --{name}_tgt, --{name}, or --{name}_fraction",
            )
        return found


def write(manifest: Manifest, directory: pathlib.Path) -> None:
    """Writes the manifest, whole or not at all, and on the disk before it returns."""
    text = _layout(dataclasses.asdict(manifest)) + "\n"
    files.write_whole(directory / FILENAME, text)


def read(directory: locations.Location, flag: str = "--data_dir") -> Manifest:
    """Returns the manifest of a data directory, which a flag named.

    Raises:
        exits.Refusal: If there is none, or none that this version can read.
    """
    path = directory / FILENAME
    if not directory.is_dir():
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"{flag}={directory}: no such directory; "
            "python -m preprocessing.build makes one",
        )
    if not path.is_file():
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"{flag}={directory}: has no {FILENAME}, so it is not a finished data "
            "directory; python -m preprocessing.build makes one",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from None
    if version not in _READABLE_VERSIONS:
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{path}: format version {version}, this Sluice reads "
            f"{_READABLE_VERSIONS}; build the data directory again, with --overwrite",
        )
    try:
        return _from_json(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from None


def shard_name(split: str, index: int, count: int, segmentation: int) -> str:
    """Returns the file name of a shard.

    >>> shard_name("train", 7, 64, 0), shard_name("train", 7, 64, 2)
    ('train-00007-of-00064.tfrecord', 'train-00007-of-00064.segmentation-2.tfrecord')
    """
    drawn = f".segmentation-{segmentation}" if segmentation else ""
    return f"{split}-{index:05d}-of-{count:05d}{drawn}.tfrecord"


def check_files(manifest: Manifest, directory: locations.Location, split: str) -> None:
    """Refuses a split whose files are not there with the size that was written.

    Sizes catch a cut or replaced file at no cost; `preprocessing.verify` reads hashes.
    """
    shards = manifest.split(split).all_shards
    listed = {shard.name for shard in shards}
    for shard in shards:
        path = directory / shard.name
        for file, size in (
            (path, shard.bytes),
            (sidecars.lengths_path(path), 4 * shard.records),
        ):
            found = file.stat().st_size if file.is_file() else None
            if found != size:
                state = "is missing" if found is None else f"has {found} bytes"
                raise exits.Refusal(
                    exits.BAD_DATA,
                    f"{file}: {state}, the manifest says {size}; "
                    "build the data directory again, with --overwrite",
                )
    there: list[locations.Location] = list(directory.glob(f"{split}-*.tfrecord"))
    for extra in sorted(there, key=str):
        if extra.name not in listed:
            raise exits.Refusal(
                exits.BAD_DATA,
                f"{extra}: is not in the manifest; remove it, or build the data "
                "directory again, with --overwrite",
            )


def identity(manifest: Manifest) -> str:
    """Returns a hash of the data itself: shards and vocabularies, wherever they are."""
    vocabularies = (manifest.src_vocabulary, manifest.tgt_vocabulary)
    content = [
        *(entry.sha256 for entry in vocabularies if entry is not None),
        *(
            f"{name} {shard.name} {shard.sha256}"
            for name, split in sorted(manifest.splits.items())
            for shard in split.all_shards
        ),
    ]
    return files.sha256_text("\n".join(content))


def _unreadable(path: locations.Location, error: Exception) -> exits.Refusal:
    return exits.Refusal(
        exits.BAD_DATA,
        f"{path}: cannot be read ({type(error).__name__}: {error}); "
        "build the data directory again, with --overwrite",
    )


def _from_json(content: dict[str, Any]) -> Manifest:
    splits = {
        name: Split(
            **{
                **split,
                "shards": [Shard(**shard) for shard in split["shards"]],
                "resampled": [
                    [Shard(**shard) for shard in shards]
                    for shards in split.get("resampled", [])
                ],
            }
        )
        for name, split in content["splits"].items()
    }
    vocabularies = {
        name: Vocabulary(**content[name]) if content[name] else None
        for name in ("src_vocabulary", "tgt_vocabulary")
    }
    return Manifest(**{**content, **vocabularies, "splits": splits})


def _layout(value: Any, depth: int = 0) -> str:
    """Returns JSON with a line for each key or object, and lists of numbers in one."""
    pad, end = " " * (depth + 1), " " * depth
    if isinstance(value, dict) and value:
        inner = [
            f"{pad}{json.dumps(key)}: {_layout(item, depth + 1)}"
            for key, item in value.items()
        ]
        return "{\n" + ",\n".join(inner) + f"\n{end}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        inner = [f"{pad}{_layout(item, depth + 1)}" for item in value]
        return "[\n" + ",\n".join(inner) + f"\n{end}]"
    return json.dumps(value, ensure_ascii=False)
