"""Scores of a published system output are the published ones.

The texts are those of TensorFlow NMT (https://github.com/tensorflow/nmt, nmt/testdata,
deen_output and deen_ref_bpe), gzipped in metric_fixtures/tf_nmt of a folder that
SLUICE_SHARED_DATA names.
"""

import gzip
import os
import pathlib
import re

import pytest

from trainers import rouge, scores

FOLDER = (
    pathlib.Path(os.environ.get("SLUICE_SHARED_DATA", "")) / "metric_fixtures/tf_nmt"
)
pytestmark = pytest.mark.skipif(
    "SLUICE_SHARED_DATA" not in os.environ or not FOLDER.is_dir(),
    reason="SLUICE_SHARED_DATA names no folder with metric_fixtures/tf_nmt",
)


def _lines(name: str) -> list[str]:
    text = gzip.decompress((FOLDER / name).read_bytes()).decode()
    return [re.sub(r"(@@ )|(@@ ?$)", "", line) for line in text.split("\n")[:-1]]


def test_bleu_of_tensorflow_nmt():
    """`expected_bleu_score` of nmt/utils/evaluation_utils_test.py."""

    def split(lines):  # as there: two spaces have an empty token between them
        return [
            " ".join(token or "\u2581" for token in line.split(" ")) for line in lines
        ]

    references = [[line] for line in split(_lines("deen_ref_bpe.gz"))]
    found = scores.of(
        split(_lines("deen_output.gz")), references, lowercase=False, tokenize="none"
    )
    assert found.bleu == pytest.approx(22.5855084573, abs=1e-8)


def test_rouge_l_of_tensorflow_nmt():
    """`expected_rouge_score` there: F with beta = P / R, of tokens between spaces."""
    references = [[line] for line in _lines("deen_ref_bpe.gz")]
    found = rouge.each(
        _lines("deen_output.gz"), references, tokenize=lambda text: text.split(" ")
    )["rougeL"]

    def weighed(score):
        if not score.precision:
            return 0.0
        square = (score.precision / score.recall) ** 2
        product = score.precision * score.recall
        return (1 + square) * product / (score.recall + square * score.precision)

    mean = sum(map(weighed, found)) / len(found)
    assert 100 * mean == pytest.approx(50.8429782599, abs=1e-6)
