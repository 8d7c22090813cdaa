"""A picture of a classifier's confusions."""

import pathlib
from collections.abc import Sequence

import numpy as np

from pipeline import pictures

_MOST_INCHES = 24.0
_MOST_LETTERS = 24  # of a class's name
_MOST_NUMBERED = 20  # classes, up to which numbers are written into the cells


def draw(
    confusions: np.ndarray, names: Sequence[str], path: pathlib.Path, title: str
) -> None:
    """Writes a PNG: for each class, into which ones its examples were put.

    Args:
        confusions: Examples of a class (row) put into a class (column), int [C, C].
        names: Of the classes.
        path: Of the PNG.
        title: Stands above.
    """
    # Loaded here: it takes a second, and only who asks for pictures needs it.
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shares = confusions / np.maximum(confusions.sum(axis=1, keepdims=True), 1)
    side = min(2.5 + 0.55 * len(names), _MOST_INCHES)
    figure, axes = plt.subplots(figsize=(side + 1.5, side), layout="constrained")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the class")
    ticks = np.arange(len(names))
    plain = [name.replace("$", r"\$")[:_MOST_LETTERS] for name in names]
    size = 9 if len(names) <= _MOST_NUMBERED else 4
    axes.set_xticks(ticks, plain, rotation=90, fontsize=size)
    axes.set_yticks(ticks, plain, fontsize=size)
    if len(names) <= _MOST_NUMBERED:
        for row, column in np.argwhere(confusions):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(confusions[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xlabel("said")
    axes.set_ylabel("label")
    axes.set_title(title, fontsize=10)
    pictures.save(figure, path)
