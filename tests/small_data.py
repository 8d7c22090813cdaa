"""A small data directory, for tests of what reads one."""

import pathlib
import random

from preprocessing import build, corpus_config, subword_config
from preprocessing import config as preprocessing_config


def pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Returns pairs of made-up sentences of 2 to 9 words."""
    draw = random.Random(seed)
    words = [f"{a}{b}" for a in "bdfgklmnprst" for b in "aeiou"]
    lines = []
    for _ in range(count):
        src = draw.choices(words, k=draw.randint(2, 9))
        lines.append((" ".join(src), " ".join(word[::-1] for word in src)))
    return lines


def make(
    folder: pathlib.Path,
    *,
    count: int = 300,
    num_shards: int = 3,
    subword_samples: int = 0,
    spm_model: pathlib.Path | None = None,
    seed: int = 0,
) -> pathlib.Path:
    """Builds a data directory in a folder and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"train": count, "valid": 20, "test": 20}
    for number, (split, size) in enumerate(sizes.items()):
        lines = pairs(size, 3 * seed + number)
        text = "".join(f"{src}\t{tgt}\n" for src, tgt in lines)
        (folder / f"{split}.tsv").write_text(text)
    data_dir = folder / "data"
    if spm_model is None:
        subwords = subword_config.SubwordConfig(
            vocab_size=100, shared_vocab=True, subword_samples=subword_samples
        )
    else:
        subwords = subword_config.SubwordConfig(spm_model=str(spm_model))
    build.main(
        preprocessing_config.BuildConfig(
            output=preprocessing_config.OutputConfig(
                data_dir=str(data_dir), num_shards=num_shards, num_workers=1
            ),
            corpus=corpus_config.CorpusConfig(
                train=(str(folder / "train.tsv"),),
                valid=(str(folder / "valid.tsv"),),
                test=(str(folder / "test.tsv"),),
            ),
            task=preprocessing_config.TaskConfig(),
            subwords=subwords,
            cleaning=preprocessing_config.CleaningConfig(),
        )
    )
    return data_dir
