"""Pictures: lengths in the data and their buckets; confusions of a classifier."""

import pathlib
from collections.abc import Sequence

import numpy as np

from pipeline import bucketing

_MOST_INCHES = 24.0
_MOST_LETTERS = 24  # of a class's name
_MOST_NUMBERED = 20  # classes, up to which numbers are written into the cells
_SHOWN = 0.999  # share of the pairs that the axes hold


def draw_buckets(
    histogram: np.ndarray, buckets: bucketing.Buckets, path: pathlib.Path, title: str
) -> None:
    """Writes a PNG: pairs by source and target length, and the borders of buckets.

    Args:
        histogram: Source length, target length, number of pairs: [M, 3].
        buckets: Where the pairs go.
        path: Of the PNG.
        title: Stands above.
    """
    # Loaded here: it takes a second, and only who asks for pictures needs it.
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.colors import LogNorm

    src_most, tgt_most = (most(histogram, side) for side in (0, 1))
    shown = (histogram[:, 0] <= src_most) & (histogram[:, 1] <= tgt_most)
    counts = np.zeros((tgt_most + 1, src_most + 1))
    lengths = histogram[shown, :2].astype(int)
    np.add.at(counts, (lengths[:, 1], lengths[:, 0]), histogram[shown, 2])
    figure, axes = plt.subplots(figsize=(9, 8), layout="constrained")
    image = axes.imshow(
        np.where(counts > 0, counts, np.nan),
        origin="lower",
        aspect="auto",
        cmap="viridis",
        norm=LogNorm(vmin=1, vmax=max(2.0, counts.max())),
        interpolation="nearest",
    )
    figure.colorbar(image, label="pairs")
    for (x_begin, x_end), (y_begin, y_end) in borders(buckets, src_most, tgt_most):
        axes.plot([x_begin, x_end], [y_begin, y_end], color="tab:red", linewidth=0.8)
    axes.set_xlabel("source, tokens with EOS")
    axes.set_ylabel("target, tokens with BOS or EOS")
    axes.set_title(title, fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_confusions(
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
    figure.savefig(path, dpi=120)
    plt.close(figure)


def most(histogram: np.ndarray, side: int) -> int:
    """Returns the length that nearly all pairs have at most on a side."""
    order = np.argsort(histogram[:, side], kind="stable")
    mass = np.cumsum(histogram[order, 2])
    last = min(int(np.searchsorted(mass, _SHOWN * mass[-1])), len(order) - 1)
    return int(histogram[order[last], side])


def borders(
    buckets: bucketing.Buckets, src_most: int, tgt_most: int
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Returns the lines between lengths of different buckets: ((x, x), (y, y))."""
    grid = np.stack(
        np.meshgrid(np.arange(src_most + 1), np.arange(tgt_most + 1)), axis=-1
    ).reshape(-1, 2)
    corners = np.stack([buckets.src, buckets.tgt], axis=1)
    fits = np.array([bool((pair <= corners).all(axis=1).any()) for pair in grid])
    flat = np.full(len(grid), -1)
    flat[fits] = buckets.assign(grid[fits])
    owner = flat.reshape(tgt_most + 1, src_most + 1)
    lines: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for y, x in np.argwhere(owner[:, 1:] != owner[:, :-1]):
        lines.append(((x + 0.5, x + 0.5), (y - 0.5, y + 0.5)))
    for y, x in np.argwhere(owner[1:] != owner[:-1]):
        lines.append(((x - 0.5, x + 0.5), (y + 0.5, y + 0.5)))
    return lines
