"""Weights a run begins with instead of drawn ones: another run's, or word vectors.

Weights are taken by name and shape. The vectors of subwords go by the subword: a new
vocabulary keeps those that it shares with the old one. What was taken, what stayed as
it was drawn and what was not used is said and written down, because a name that matches
nothing would otherwise look like a start.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline import exits, vocabulary
from trainers import (
    checkpoints,
    config,
    name_map,
    naming,
    run_directory,
    word_vectors,
)
from trainers.models import layers

_SRC, _TGT = "src_embedding/vectors", "tgt_embedding/vectors"
_TGT_READ = "tgt/encoder/src_embedding/vectors"  # of a model of pairs to vectors
_OUTPUTS = ("output_embedding/vectors", "output/vectors")
_EMBEDDINGS = (_SRC, _TGT, _TGT_READ, *_OUTPUTS)
_READER = re.compile("^(text|src)/encoder/")  # of a classifier, of a model of pairs
_TGT_READER = "tgt/encoder/"
_OBJECT_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

Pieces = Mapping[str, Sequence[str]]  # of the sides "src" and "tgt"


class Foreign(NamedTuple):
    """What to begin from.

    Attributes:
        tensors: By name.
        pieces: Of its vocabularies; empty if they are not known.
        told: Where it comes from.
    """

    tensors: dict[str, np.ndarray]
    pieces: Pieces
    told: str


@dataclasses.dataclass
class Report:
    """What became of each weight of the model, and of those begun from.

    Attributes:
        source: Where they come from.
        taken: Names of weights taken whole.
        by_piece: For each embedding, how many of its subwords the old one had.
        fresh: Names of weights that stay as they were drawn.
        other_shape: Names of weights both have, in different shapes.
        unused: Names of weights that the model does not have.
    """

    source: str
    taken: list[str] = dataclasses.field(default_factory=list)
    by_piece: dict[str, str] = dataclasses.field(default_factory=dict)
    fresh: list[str] = dataclasses.field(default_factory=list)
    other_shape: list[str] = dataclasses.field(default_factory=list)
    unused: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        """Says it in one line."""
        parts = [f"begun from {self.source}: {len(self.taken)} weights taken"]
        parts += [f"{name}: {count}" for name, count in self.by_piece.items()]
        for told, names in (
            ("drawn", self.fresh),
            ("of another shape", self.other_shape),
            ("not used", self.unused),
        ):
            if names:
                shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                parts.append(f"{len(names)} {told} ({shown})")
        return "; ".join(parts)


def weights_of(model: tf.Module) -> dict[str, tf.Variable]:
    """Returns the weights of a model as those of a translation model are named.

    What reads the text of a classifier is the encoder of one.
    """
    return {
        _READER.sub("", name): variable
        for name, variable in naming.trainable(model).items()
    }


def pieces_of(vocabularies: vocabulary.Vocabularies) -> Pieces:
    """Returns the subwords of both sides, by id."""
    sides = {"src": vocabularies.src, "tgt": vocabularies.tgt}
    return {side: every.pieces(range(every.size)) for side, every in sides.items()}


def begin(
    weights: Mapping[str, tf.Variable], asked: config.StartConfig, pieces: Pieces
) -> list[Report]:
    """Gives the weights their first values as asked.

    Args:
        weights: Of the model, by name.
        asked: From what.
        pieces: Of the model's vocabularies.

    Raises:
        exits.Refusal: If there is nothing to begin from, or nothing of it fits.
    """
    reports = []
    if asked.init_from is not None:
        reports.append(_take(weights, _read(asked), pieces))
    for side, path in (("src", asked.src_embeddings), ("tgt", asked.tgt_embeddings)):
        if path is not None:
            reports.append(_take_vectors(weights, pathlib.Path(path), side, pieces))
    return reports


def frozen(names: Sequence[str], asked: Sequence[str]) -> set[str]:
    """Returns the names of weights that are not trained.

    Args:
        names: Of all weights.
        asked: Beginnings of names, such as `encoder`; `embeddings` for all of those.

    Raises:
        exits.Refusal: If one of them is the beginning of no name.
    """
    found: set[str] = set()
    short = {name: _READER.sub("", name) for name in names}
    inner = {name: ours.removeprefix(_TGT_READER) for name, ours in short.items()}
    for start in asked:
        matching = {
            name
            for name, ours in short.items()
            if any(own.startswith(f"{start}/") for own in (name, ours, inner[name]))
            or (start == "embeddings" and ours in _EMBEDDINGS)
        }
        if not matching:
            heads = ", ".join(
                sorted({own.partition("/")[0] for own in (*names, *inner.values())})
            )
            raise exits.Refusal(
                exits.USAGE,
                f"--freeze={start}: no weight begins so; there are embeddings, {heads}",
            )
        found |= matching
    if len(found) == len(names):
        raise exits.Refusal(exits.USAGE, "--freeze leaves nothing to train")
    return found


def _take(
    weights: Mapping[str, tf.Variable], foreign: Foreign, pieces: Pieces
) -> Report:
    report = Report(foreign.told)
    used: set[str] = set()
    for name, weight in weights.items():
        is_embedding = name in _EMBEDDINGS
        old_names = _sources(name, weights, foreign) if is_embedding else [name]
        found = [old for old in old_names if old in foreign.tensors]
        used |= set(found)
        if not found:
            report.fresh.append(name)
        elif is_embedding:
            _take_rows(weight, name, foreign, found, pieces, report)
        elif weight.shape == np.shape(foreign.tensors[name]):
            weight.assign(foreign.tensors[name])
            report.taken.append(name)
        else:
            report.other_shape.append(name)
    report.unused = sorted(foreign.tensors.keys() - used)
    if not report.taken and not report.by_piece:
        raise exits.Refusal(
            exits.MISMATCH, f"--init_from={foreign.told}: nothing of it fits; {report}"
        )
    return report


def _sources(
    name: str, weights: Mapping[str, tf.Variable], foreign: Foreign
) -> list[str]:
    """Returns which embeddings have vectors for one of ours, however each is tied."""
    if name == _SRC:
        is_shared = _TGT not in weights and _TGT_READ not in weights
        return [_SRC, _TGT] if is_shared else [_SRC]
    candidates = (name, *_OUTPUTS, _TGT, _TGT_READ)
    return [next((old for old in candidates if old in foreign.tensors), _SRC)]


def _take_rows(
    weight: tf.Variable,
    name: str,
    foreign: Foreign,
    old_names: Sequence[str],
    pieces: Pieces,
    report: Report,
) -> None:
    """Takes the vectors of the subwords that both vocabularies have."""
    new = weight.numpy()
    old_names = [
        old for old in old_names if np.shape(foreign.tensors[old])[1:] == new.shape[1:]
    ]
    now = pieces[_side(name)]
    taken: dict[int, np.ndarray] = {}
    for old_name in old_names:
        old, before = foreign.tensors[old_name], foreign.pieces.get(_side(old_name))
        # Without its vocabulary only its size can tell; one of them may be rounded up.
        if before is None and abs(len(old) - len(new)) < layers.ROWS_MULTIPLE:
            before = now[: len(old)]
        if before is not None and len(before) > len(old):
            raise exits.Refusal(
                exits.MISMATCH,
                f"--init_from={foreign.told}: {old_name} has {len(old):,} vectors, the "
                f"vocabulary to it {len(before):,} subwords; --init_vocab names it",
            )
        places = {piece: index for index, piece in enumerate(before or ())}
        for index, piece in enumerate(now):
            if piece in places:
                taken.setdefault(index, old[places[piece]])
    if not taken:
        report.other_shape.append(name)
        return
    new[list(taken)] = np.array(list(taken.values()))
    weight.assign(new)
    if len(taken) == len(now):
        report.taken.append(name)
    else:
        report.by_piece[name] = f"{len(taken):,} of {len(now):,} subwords"


def _side(name: str) -> str:
    return "src" if name == _SRC else "tgt"


def _read(asked: config.StartConfig) -> Foreign:
    """Reads what `--init_from` names."""
    assert asked.init_from is not None
    path = pathlib.Path(asked.init_from)
    prefix = _prefix(path)
    try:
        tensors = checkpoints.read_tensors(prefix)
    except checkpoints.DamagedError as error:
        raise exits.Refusal(
            exits.BAD_DATA, f"--init_from={path}: cannot be read ({error})"
        ) from None
    told = str(prefix)
    if tensors.pop(checkpoints.RUN_STATE, None) is not None:
        # With the moving average, if there is one: what the run was judged by.
        ours, _ = checkpoints.weights(tensors)
        named = {_READER.sub("", name): value for name, value in ours.items()}
        pieces = _pieces_beside(prefix)
        _check_of_ours(asked, pieces)
        return Foreign(named, pieces or _listed(asked.init_vocab), told)
    plain = {name.removesuffix(_OBJECT_SUFFIX): v for name, v in tensors.items()}
    if asked.name_map is not None:
        plain = name_map.renamed(plain, pathlib.Path(asked.name_map))
    return Foreign(plain, _listed(asked.init_vocab), told)


def _check_of_ours(asked: config.StartConfig, pieces: Pieces) -> None:
    """Refuses what a run of ours has itself: our names, and its vocabulary."""
    given = {"name_map": asked.name_map}
    if pieces:
        given["init_vocab"] = ",".join(asked.init_vocab)
    for flag, value in given.items():
        if value:
            raise exits.Refusal(
                exits.USAGE,
                f"--{flag}={value}: --init_from={asked.init_from} is a run of Sluice, "
                "which needs none; leave the flag out",
            )


def _prefix(path: pathlib.Path) -> pathlib.Path:
    """Returns the checkpoint that a path means: the best or the newest of a run."""
    if path.name and path.with_name(f"{path.name}.index").is_file():
        return path
    directory = path if path.is_dir() else None
    for name in (run_directory.BEST, run_directory.CHECKPOINTS):
        found = checkpoints.steps(path / name) if directory else []
        if found:
            return checkpoints.path_of(path / name, found[-1])
    latest = tf.train.latest_checkpoint(str(path)) if directory else None
    if latest is None:
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"--init_from={path}: is neither a run's --workdir nor a checkpoint",
        )
    return pathlib.Path(latest)


def _listed(paths: Sequence[str]) -> Pieces:
    """Returns the vocabularies in files of a subword a line, source first."""
    if not paths:
        return {}
    sides = []
    for path in map(pathlib.Path, paths):
        if not path.is_file():
            raise exits.Refusal(
                exits.MISSING_INPUT, f"--init_vocab={path}: no such file"
            )
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = text.removesuffix("\n").split("\n")
        sides.append([line.removesuffix("\r").split("\t")[0] for line in lines])
    return {"src": sides[0], "tgt": sides[-1]}


def _pieces_beside(prefix: pathlib.Path) -> Pieces:
    """Returns the vocabularies of the run a checkpoint is in, if they are there."""
    home = prefix.parent.parent / run_directory.VOCABULARY
    if not home.is_dir():
        return {}
    found = {}
    # A classifier has the first alone.
    for side, entry in zip(
        ("src", "tgt"), vocabulary.copied_entries(home), strict=False
    ):
        loaded = vocabulary.load_one(home, entry)
        found[side] = loaded.pieces(range(loaded.size))
    return found


def _take_vectors(
    weights: Mapping[str, tf.Variable],
    path: pathlib.Path,
    side: str,
    pieces: Pieces,
) -> Report:
    """Takes word vectors from a text file, scaled to the length of drawn ones."""
    own = {"src": (_SRC,), "tgt": (_TGT, _TGT_READ)}[side]
    name = next((name for name in own if name in weights), None)
    if name is None:
        raise exits.Refusal(
            exits.USAGE,
            f"--{side}_embeddings={path}: the model has no embedding of its own on "
            "this side; use the other side's flag, or --tied_embeddings",
        )
    weight = weights[name]
    vectors = word_vectors.read(path, set(map(word_vectors.word_of, pieces[side])))
    new = weight.numpy()
    wanted = {
        index: vectors[word_vectors.word_of(piece)]
        for index, piece in enumerate(pieces[side])
        if word_vectors.word_of(piece) in vectors
    }
    if not wanted:
        raise exits.Refusal(
            exits.BAD_DATA, f"--{side}_embeddings={path}: has no subword of this side"
        )
    rows = np.array(list(wanted.values()))
    if rows.shape[1] != new.shape[1]:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--{side}_embeddings={path}: has vectors of {rows.shape[1]} numbers, the "
            f"model of {new.shape[1]}",
        )
    lengths = np.linalg.norm(rows, axis=1)
    new[list(wanted)] = rows / max(float(np.sqrt(np.mean(lengths**2))), 1e-12)
    weight.assign(new)
    count = f"{len(wanted):,} of {len(pieces[side]):,} subwords"
    return Report(str(path), by_piece={name: count})
