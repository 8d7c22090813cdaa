"""Vocabularies: text to subword ids and back, by SentencePiece.

The ids of the special pieces are the same in every vocabulary of ours, so that a batch
can be made and a loss masked without asking which vocabulary it came from.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import sentencepiece

from pipeline import exits, files, locations, segmentations
from pipeline import manifest as manifest_lib

PAD_ID, BOS_ID, EOS_ID, UNK_ID = 0, 1, 2, 3
_COPY = "vocabularies.json"
SPECIAL_IDS = {"pad": PAD_ID, "bos": BOS_ID, "eos": EOS_ID, "unk": UNK_ID}


class Vocabulary:
    """A SentencePiece model with the special ids of this package."""

    def __init__(self, path: locations.Location) -> None:
        """Loads the model, and refuses one that cannot serve as ours."""
        if not path.is_file():
            raise exits.Refusal(exits.MISSING_INPUT, f"{path}: no such vocabulary")
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(path.read_bytes())
        except RuntimeError as error:
            raise exits.Refusal(
                exits.BAD_DATA, f"{path}: not a SentencePiece model ({error})"
            ) from None
        _check_special_ids(path, self._processor)

    @property
    def size(self) -> int:
        """Number of pieces, special ones included."""
        return self._processor.GetPieceSize()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the ids of each text, without BOS, EOS or PAD."""
        ids: list[list[int]] = self._processor.EncodeAsIds(list(texts), num_threads=1)
        return ids

    @property
    def has_no_case(self) -> bool:
        """Whether texts are lowercased before they are cut, so that none says a case.

        The model's own rules tell, so a model that was given is known too.
        """
        return "A" not in self._processor.Normalize("A")

    @property
    def has_segmentations(self) -> bool:
        """Whether a text can be cut in several ways: unigram and BPE models."""
        return self._sampler is not None

    def sample(
        self, texts: Sequence[str], *, alpha: float, seed: int
    ) -> list[list[int]]:
        """Returns a segmentation of each text drawn at random.

        From a unigram model any segmentation, with its probability to the power of
        `alpha` (Kudo 2018, section 3); from BPE with a share `alpha` of the merges left
        out (Provilkov et al. 2020); from other models the only one.

        Args:
            texts: The texts.
            alpha: In (0, 1]; of BPE 0 gives what `encode` does.
            seed: The same texts and seed give the same ids, in any process or thread.
        """
        if self._sampler is None:
            return self.encode(texts)
        normalized = self._processor.Normalize(list(texts))
        return self._sampler.draw(normalized, alpha=alpha, seed=seed)

    @functools.cached_property
    def _sampler(self) -> "segmentations.Unigram | segmentations.Bpe | None":
        return segmentations.sampler(self._processor.serialized_model_proto())

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Returns the text of each row; special ids leave no trace in it."""
        return [self._processor.DecodeIds(_plain(row)) for row in ids]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Returns the surface of each id, with U+2581 where a word begins."""
        return [self._processor.IdToPiece(int(index)) for index in ids]


class Vocabularies(NamedTuple):
    """Both sides of a data directory or of a run.

    Attributes:
        src: Of the source.
        tgt: Of the target.
        shared: Whether they are one, so that a model can tie its embeddings.
        entries: What the manifest says of them, source first.
    """

    src: Vocabulary
    tgt: Vocabulary
    shared: bool
    entries: tuple[manifest_lib.Vocabulary, manifest_lib.Vocabulary]

    @property
    def hashes(self) -> list[str]:
        """SHA-256 of the models, source first: equal where vocabularies are."""
        return [entry.sha256 for entry in self.entries]


def load(
    directory: locations.Location,
    entries: tuple[manifest_lib.Vocabulary, manifest_lib.Vocabulary],
) -> Vocabularies:
    """Returns the vocabularies in a directory.

    Args:
        directory: A data directory, or the copy in a run's working directory.
        entries: What they must be, source first.

    Raises:
        exits.Refusal: If a file is not the one described.
    """
    loaded: dict[str, Vocabulary] = {}
    for entry in entries:
        if entry.filename not in loaded:
            loaded[entry.filename] = load_one(directory, entry)
    src, tgt = (loaded[entry.filename] for entry in entries)
    return Vocabularies(src, tgt, entries[0].filename == entries[1].filename, entries)


def check_same(
    vocabularies: Vocabularies,
    facts: manifest_lib.Manifest,
    data_dir: locations.Location,
) -> None:
    """Refuses data of other subwords than a run's.

    Raises:
        exits.Refusal: With `MISMATCH`.
    """
    there = [entry.sha256 for entry in facts.pair_vocabularies()]
    if there != vocabularies.hashes:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--data_dir={data_dir}: was made with another vocabulary than the run was "
            "trained with",
        )


def check_files(
    directory: locations.Location, entries: Sequence[manifest_lib.Vocabulary]
) -> None:
    """Refuses vocabularies that are not the ones described."""
    for entry in entries:
        path = directory / entry.filename
        if not path.is_file():
            raise exits.Refusal(exits.MISSING_INPUT, f"{path}: no such vocabulary")
        if files.sha256(path) != entry.sha256:
            raise exits.Refusal(
                exits.MISMATCH,
                f"{path}: is not the vocabulary the data was made with (its SHA-256 "
                "differs from the manifest's); put that one back, or build again with "
                "--overwrite",
            )


def copy(
    source: locations.Location,
    entries: Sequence[manifest_lib.Vocabulary],
    target: pathlib.Path,
) -> None:
    """Copies the models, so that a run can translate without its data directory.

    Args:
        source: A data directory.
        entries: Which of its models; those that are there already stay.
        target: Made if it is not there.
    """
    target.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        copied = target / entry.filename
        if copied.is_file() and files.sha256(copied) == entry.sha256:
            continue
        content = (source / entry.filename).read_bytes()
        files.write_bytes(copied, content)
    described = [dataclasses.asdict(entry) for entry in entries]
    files.write_whole(target / _COPY, json.dumps(described, indent=1) + "\n")


def load_copy(directory: pathlib.Path) -> Vocabularies:
    """Returns what `copy` wrote, or refuses."""
    src, tgt = copied_entries(directory)
    return load(directory, (src, tgt))


def copied_entries(directory: pathlib.Path) -> list[manifest_lib.Vocabulary]:
    """Returns the entries that `copy` wrote, source first, or refuses."""
    path = directory / _COPY
    if not path.is_file():
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"{path}: no such file; --workdir must name a run of trainers.seq2seq or "
            "trainers.seq2vec",
        )
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [manifest_lib.Vocabulary(**entry) for entry in entries]
    except (ValueError, TypeError) as error:
        raise exits.Refusal(
            exits.BAD_DATA,
            f"{path}: cannot be read: {error}; copy it from a backup, or start the run "
            "again, which writes it",
        ) from None


def load_one(
    directory: locations.Location, entry: manifest_lib.Vocabulary
) -> Vocabulary:
    """Returns a vocabulary in a directory.

    Raises:
        exits.Refusal: If the file is not the one described.
    """
    loaded = Vocabulary(directory / entry.filename)
    check_files(directory, [entry])
    return loaded


def _plain(row: Sequence[int]) -> list[int]:
    return [int(index) for index in row if index not in (PAD_ID, BOS_ID, EOS_ID)]


def _check_special_ids(
    path: locations.Location, processor: sentencepiece.SentencePieceProcessor
) -> None:
    found = {
        "pad": processor.pad_id(),
        "bos": processor.bos_id(),
        "eos": processor.eos_id(),
        "unk": processor.unk_id(),
    }
    if processor.GetPieceSize() <= UNK_ID or found != SPECIAL_IDS:
        raise exits.Refusal(
            exits.MISMATCH,
            f"{path}: {processor.GetPieceSize()} pieces with special ids {found}; "
            f"needed are {SPECIAL_IDS}: train it with --pad_id=0 --bos_id=1 --eos_id=2 "
            "--unk_id=3",
        )
