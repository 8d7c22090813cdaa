"""A trained model from a run's working directory, for decoding and evaluation."""

import pathlib

import numpy as np
import tensorflow as tf

from pipeline import exits, vocabulary
from trainers import checkpoints, config, naming, run_directory
from trainers.models import build

_MODEL = "model/"
_AVERAGE = "ema/values/"


def load(
    asked: config.Seq2SeqConfig,
    weights: config.WeightsConfig,
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


def restore(model: tf.Module, weights: config.WeightsConfig) -> str:
    """Gives a model the weights of a run; returns which checkpoints, in words.

    Raises:
        exits.Refusal: If there is no such checkpoint, or it is of another model.
    """
    which = weights.checkpoints
    directory = run_directory.RunDirectory(pathlib.Path(weights.workdir))
    prefixes, tensors = _read(directory, which)
    averaged = {} if weights.raw_weights else _under(_AVERAGE, tensors)
    restored = _under(_MODEL, tensors) | averaged
    checkpoints.restore(restored, naming.variables(model), str(prefixes[-1]))
    names = [prefix.name for prefix in prefixes]
    told = names[0] if len(names) == 1 else f"mean of {names[0]} to {names[-1]}"
    kind = ", moving average" if averaged else ""
    return f"{told} ({which}{kind})"


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


def _under(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors whose name begins so, without the beginning."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _prefixes(directory: run_directory.RunDirectory, which: str) -> list[pathlib.Path]:
    count = config.count_of(which)
    folder = directory.checkpoints if count else directory.best
    found = checkpoints.steps(folder)
    if not found or len(found) < count:
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"{folder}: has {len(found)} checkpoints, --checkpoints={which} wants "
            f"{max(count, 1)}; choose others, such as last",
        )
    return [checkpoints.path_of(folder, step) for step in found[-max(count, 1) :]]
