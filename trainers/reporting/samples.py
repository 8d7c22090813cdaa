"""What the model said while it was trained, read from samples.txt and scored."""

import pathlib
from typing import NamedTuple

import sacrebleu

from trainers import run_directory

_STEP = "== step "
_FIELDS = ("source", "hypothesis", "reference")
_MARGIN = 14  # letters in front of a text
_BETWEEN_REFERENCES = "  |  "


class Sample(NamedTuple):
    """A sentence of the valid split, and what was said to it."""

    source: str
    hypothesis: str
    references: list[str]

    def chrf(self, *, lowercase: bool = False) -> float:
        """Returns sacreBLEU's chrF2 of the hypothesis alone, 0 to 100."""
        metric = sacrebleu.CHRF(lowercase=lowercase)
        return float(metric.sentence_score(self.hypothesis, self.references).score)


def read(workdir: pathlib.Path) -> dict[int, list[Sample]]:
    """Returns the samples of each validation, by step; none where there is no file."""
    path = workdir / run_directory.SAMPLES
    if not path.is_file():
        return {}
    found: dict[int, list[Sample]] = {}
    step, texts = 0, dict.fromkeys(_FIELDS, "")
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            text, end, _ = line.partition("\n")
            if not end:  # half a line, as a full disk leaves it
                break
            if text.startswith(_STEP):
                step = int(text.removeprefix(_STEP))
                found[step] = []
            field = text[:_MARGIN].strip()
            if not text.startswith("  ") or field not in _FIELDS:
                continue
            texts[field] = text[_MARGIN:]
            if field == _FIELDS[-1]:
                references = texts["reference"].split(_BETWEEN_REFERENCES)
                found[step].append(
                    Sample(texts["source"], texts["hypothesis"], references)
                )
    return found
