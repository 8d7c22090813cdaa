"""A trained model from a run's working directory, for decoding and evaluation."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipeline import exits, progress, vocabulary
from trainers import checkpoints, config, decoding_config, naming, run_directory
from trainers.decoding import decoder, ensemble
from trainers.models import build


def load(
    asked: config.Seq2SeqConfig,
    weights: decoding_config.WeightsConfig,
    vocabularies: vocabulary.Vocabularies,
) -> tuple[tf.Module, str]:
    """Returns the model with the weights of a run.

    Args:
        asked: The run's config.
        weights: Its working directory, and which of its checkpoints.
        vocabularies: The run's.

    Returns:
        The model, and which checkpoints it is made of, in words.

    Raises:
        exits.Refusal: If there is no such checkpoint, or it is of another model.
    """
    model = build.make(asked, vocabularies)
    return model, restore(model, weights)


def restore(model: tf.Module, weights: decoding_config.WeightsConfig) -> str:
    """Gives a model the weights of a run; returns which checkpoints, in words.

    Raises:
        exits.Refusal: If there is no such checkpoint, or it is of another model.
    """
    directory = run_directory.RunDirectory(pathlib.Path(weights.workdir))
    which = _there(directory, weights.checkpoints)
    prefixes, tensors = _read(directory, which)
    restored, averaged = checkpoints.weights(tensors, raw=weights.raw_weights)
    checkpoints.restore(restored, naming.variables(model), str(prefixes[-1]))
    names = [prefix.name for prefix in prefixes]
    told = names[0] if len(names) == 1 else f"mean of {names[0]} to {names[-1]}"
    kind = ", moving average" if averaged else ""
    return f"{told} ({which}{kind})"


def load_together(
    runs: Sequence[config.Seq2SeqConfig],
    weights: decoding_config.WeightsConfig,
    more: Sequence[str],
    vocabularies: vocabulary.Vocabularies,
) -> tuple[decoder.Decodable, str]:
    """Returns the model of a run, or the ensemble of several.

    Args:
        runs: Their configs, that of `weights.workdir` first.
        weights: Its working directory, and which checkpoints of each.
        more: The other working directories.
        vocabularies: The first run's.

    Returns:
        The model, and which checkpoints it is made of, in words.

    Raises:
        exits.Refusal: As `load`, and if another run has another vocabulary.
    """
    models, told = [], []
    for asked, workdir in zip(runs, [weights.workdir, *more], strict=True):
        own = vocabulary.load_copy(pathlib.Path(workdir) / run_directory.VOCABULARY)
        if own.hashes != vocabularies.hashes:
            raise exits.Refusal(
                exits.MISMATCH,
                f"--ensemble={workdir}: was trained with another vocabulary than "
                f"--workdir={weights.workdir}; only runs of the same data go together",
            )
        place = dataclasses.replace(weights, workdir=workdir)
        model, which = load(asked, place, own)
        models.append(model)
        told.append(which)
    if len(models) == 1:
        return models[0], told[0]
    return ensemble.Ensemble(models), " and ".join(told)


def _there(directory: run_directory.RunDirectory, which: str) -> str:
    """Returns `last` for the best of a run that was never validated."""
    if which != "best" or checkpoints.steps(directory.best):
        return which
    if not checkpoints.steps(directory.checkpoints):
        return which  # refused when it is read
    progress.logger.info(
        "%s: has no best checkpoint, as nothing was validated; taking the last",
        directory.path,
    )
    return "last"


def _read(
    directory: run_directory.RunDirectory, which: str
) -> tuple[list[pathlib.Path], dict[str, np.ndarray]]:
    """Returns checkpoints and the mean of their tensors.

    A run that goes on meanwhile removes old checkpoints; then the newer ones are read.
    """
    while True:
        prefixes = _prefixes(directory, which)
        try:
            return prefixes, checkpoints.average(prefixes)
        except checkpoints.DamagedError as error:
            if _prefixes(directory, which) == prefixes:
                raise exits.Refusal(
                    exits.BAD_DATA, f"{error}; choose others with --checkpoints"
                ) from None


def _prefixes(directory: run_directory.RunDirectory, which: str) -> list[pathlib.Path]:
    count = decoding_config.count_of(which)
    folder = directory.checkpoints if count else directory.best
    found = checkpoints.steps(folder)
    if not found or len(found) < count:
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"{folder}: has {len(found)} checkpoints, --checkpoints={which} wants "
            f"{max(count, 1)}; choose others, such as last",
        )
    return [checkpoints.path_of(folder, step) for step in found[-max(count, 1) :]]
