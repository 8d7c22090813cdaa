"""Pictures of attention: source subwords across, target subwords down, darker is more.

Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, figure 3.
"""

import json
import pathlib
import warnings
from collections.abc import Sequence

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib import font_manager
from matplotlib import pyplot as plt

from pipeline import files, pictures
from trainers import attention_maps, decoding_config, translation

_INCHES_PER_SUBWORD = 0.24
_MARGIN_INCHES = 1.6
_MAX_INCHES = 60  # 7,200 dots; more subwords than fit are drawn closer together
_DPI = 120
# Tried in this order for what the first does not have, where they are installed.
_FONTS = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "Unifont",
)


class Pictures:
    """Writes a PNG and a JSON file for each line."""

    def __init__(
        self, asked: decoding_config.AttentionConfig, reader: attention_maps.Reader
    ) -> None:
        """Makes the directory."""
        self._layer, self._head = asked.attention_layer, asked.attention_head
        self._reader = reader
        self._directory = pathlib.Path(asked.attention_dir or "")
        self._directory.mkdir(parents=True, exist_ok=True)

    def write(
        self,
        first_line: int,
        texts: Sequence[str],
        hypotheses: Sequence[translation.Hypothesis],
    ) -> None:
        """Writes `<line>.png` and `<line>.json` for each text that says something.

        Args:
            first_line: The number of the first text, from 1.
            texts: Sources.
            hypotheses: As many.

        Raises:
            exits.Refusal: If the layer or head asked for does not exist.
        """
        pairs = zip(texts, hypotheses, strict=True)
        for line, (text, hypothesis) in enumerate(pairs, start=first_line):
            found = self._reader.read(text, hypothesis)
            if found is None:
                continue
            attention_maps.check_choice(found, self._layer, self._head)
            path = self._directory / f"{line:06d}.png"
            weights = found.chosen(self._layer, self._head)
            draw(found.src_pieces, found.tgt_pieces, weights, path)
            account = {
                "line": line,
                "text": text,
                "hypothesis": hypothesis.text,
                "src_pieces": found.src_pieces,
                "tgt_pieces": found.tgt_pieces,
                "weights": attention_maps.rounded(found.weights),
            }
            page = json.dumps(account, ensure_ascii=False)
            files.write_whole(path.with_suffix(".json"), page + "\n")


def draw(
    src_pieces: Sequence[str],
    tgt_pieces: Sequence[str],
    weights: np.ndarray,
    path: pathlib.Path,
) -> None:
    """Writes a PNG.

    Args:
        src_pieces: Across, S.
        tgt_pieces: Down, T.
        weights: In [0, 1], float [T, S].
        path: Of the PNG.
    """
    installed = set(font_manager.get_font_names())
    families = [name for name in _FONTS if name in installed]
    width, height = (
        min(_MARGIN_INCHES + _INCHES_PER_SUBWORD * count, _MAX_INCHES)
        for count in (len(src_pieces), len(tgt_pieces))
    )
    with (
        mpl.rc_context({"font.family": families, "font.size": 9}),
        warnings.catch_warnings(),
    ):
        # A character of which no font knows the shape is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
        image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=weights.max())
        for axis, pieces in ((axes.xaxis, src_pieces), (axes.yaxis, tgt_pieces)):
            labels = [_printable(piece) for piece in pieces]
            axis.set_ticks(range(len(pieces)), labels, parse_math=False)
        axes.tick_params(axis="x", rotation=90, top=True, labeltop=True)
        axes.tick_params(axis="x", bottom=False, labelbottom=False)
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(len(src_pieces) - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(len(tgt_pieces) - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="#e4e4e4", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
        figure.colorbar(image, ax=axes, shrink=0.6, fraction=0.05, label="weight")
        pictures.save(figure, path, dpi=_DPI, tight=True)


def _printable(piece: str) -> str:
    """Returns a piece without characters that would break a label."""
    return "".join(one if one.isprintable() else "\ufffd" for one in piece)
