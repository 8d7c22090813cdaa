"""A picture of the lengths in the data and their buckets."""

import io
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from pipeline import bucketing, files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    save(figure, path)


def save(
    figure: "Figure", path: pathlib.Path, *, dpi: int = 120, tight: bool = False
) -> None:
    """Writes a figure as a PNG, whole or not at all, and lets go of it.

    Args:
        figure: Matplotlib's, made by pyplot.
        path: Of the PNG.
        dpi: Dots an inch.
        tight: Whether margins are cut off.
    """
    from matplotlib import pyplot as plt

    content = io.BytesIO()
    bounds = "tight" if tight else None
    figure.savefig(content, format="png", dpi=dpi, bbox_inches=bounds)
    plt.close(figure)
    files.write_bytes(path, content.getvalue())


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
