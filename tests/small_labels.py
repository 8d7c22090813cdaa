"""A small data directory of labelled texts, for tests of what reads one."""

import pathlib
import random

from preprocessing import build, corpus_config, subword_config
from preprocessing import config as preprocessing_config

CLASSES = ("animal", "number", "place")
_OF_CLASS = (("cat", "dog", "owl"), ("one", "two", "ten"), ("here", "there", "home"))
_OTHERS = [f"{a}{b}" for a in "bdfgklmnprst" for b in "aeiou"]


def texts(count: int, seed: int = 0) -> list[tuple[str, int]]:
    """Returns texts of 1 to 9 words, one of which gives the class away."""
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        label = draw.choices(range(3), weights=(6, 3, 1))[0]
        words = draw.choices(_OTHERS, k=draw.randint(0, 8))
        words.insert(draw.randint(0, len(words)), draw.choice(_OF_CLASS[label]))
        lines.append((" ".join(words), label))
    return lines


def make(
    folder: pathlib.Path, *, count: int = 240, soft: bool = False, seed: int = 0
) -> pathlib.Path:
    """Builds a data directory in a folder and returns it.

    Args:
        folder: Made if it is not there.
        count: Training texts; 30 more are valid and 30 test.
        soft: Whether a text has 0.7 of its class and 0.3 of the next one.
        seed: Of the texts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"train": count, "valid": 30, "test": 30}
    for number, (split, size) in enumerate(sizes.items()):
        lines = [
            f"{text}\t{_column(label, soft=soft)}\n"
            for text, label in texts(size, 3 * seed + number)
        ]
        (folder / f"{split}.tsv").write_text("".join(lines))
    build.main(
        preprocessing_config.BuildConfig(
            output=preprocessing_config.OutputConfig(
                data_dir=str(folder / "data"), num_shards=3, num_workers=1
            ),
            corpus=corpus_config.CorpusConfig(
                train=(str(folder / "train.tsv"),),
                valid=(str(folder / "valid.tsv"),),
                test=(str(folder / "test.tsv"),),
            ),
            task=preprocessing_config.TaskConfig(
                task="labels",
                soft_labels=soft,
                label_names=CLASSES if soft else (),
            ),
            subwords=subword_config.SubwordConfig(vocab_size=80),
            cleaning=preprocessing_config.CleaningConfig(),
        )
    )
    return folder / "data"


def _column(label: int, *, soft: bool) -> str:
    if not soft:
        return CLASSES[label]
    shares = [0.0, 0.0, 0.0]
    shares[label], shares[(label + 1) % 3] = 0.7, 0.3
    return ",".join(map(str, shares))
