r"""Labels or embeds lines of stdin, with a run of trainers.seq2vec.

    echo "Who wrote Hamlet ?" | python -m trainers.predict --workdir=runs/trec/work
    HUM	0.9731 HUM	0.0102 ENTY	0.0083 DESC

Each line gives one: the label, and after each tab a probability and its label, the
likeliest --top of them. An empty line has a label too; bytes that are not UTF-8 are
read as U+FFFD. With --vectors nothing is printed: the file has a row for each line.
"""

import dataclasses
import functools
import itertools
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from flags import binding
from pipeline import exits, files, knobs, progress, runtime, vocabulary
from trainers import decoding_config, lines, run_directory, seq2vec_config

if TYPE_CHECKING:
    import numpy as np

_CHUNK_LINES = 4096  # sorted by length together


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """What to say of each line."""

    weights: decoding_config.WeightsConfig
    top: int = knobs.knob(3, "Likeliest classes said with their probabilities.")
    vectors: str | None = knobs.knob(
        None, "Writes the vectors of the lines into this .npy file, float32 [N, D]."
    )
    side: str = knobs.knob(
        "src",
        "With --vectors of a run of --head=embedding: which side the lines are of.",
        choices=("src", "tgt"),
    )

    def __post_init__(self) -> None:
        """Raises ValueError for a count or a file name that cannot be."""
        knobs.require_at_least(self, 0, "top")
        if self.vectors is not None and not self.vectors.endswith(".npy"):
            raise ValueError(f"--vectors={self.vectors}: want a name that ends in .npy")
        if self.side != "src" and self.vectors is None:
            raise ValueError(f"--side={self.side} is of --vectors")


def main(asked: PredictConfig) -> None:
    """Answers until stdin ends."""
    workdir = pathlib.Path(asked.weights.workdir)
    path = run_directory.flagfile_of_vectors(workdir)
    run = binding.read_or_exit(path, seq2vec_config.Seq2VecConfig)
    if run.head.head == "embedding" and asked.vectors is None:
        raise exits.Refusal(
            exits.USAGE,
            f"--workdir={workdir}: a run of --head=embedding has no labels; ask for "
            "--vectors=FILE.npy",
        )
    if run.head.head == "classes" and asked.side != "src":
        raise exits.Refusal(
            exits.USAGE,
            f"--side={asked.side}: --workdir={workdir} is a classifier, whose texts "
            "have one side",
        )
    files.check_target(asked.vectors, "--vectors")
    runtime.start()
    if run.head.head == "embedding":
        vectors = _embedded(asked, run)
    else:
        vectors = _predicted(asked, run)
    if asked.vectors is not None:
        _write(vectors, run.model.d_model, pathlib.Path(asked.vectors))


def _predicted(
    asked: PredictConfig, run: seq2vec_config.Seq2VecConfig
) -> "list[np.ndarray]":
    """Prints labels, or returns vectors of all lines where they are asked for."""
    from trainers import prediction

    restored = prediction.load(run, asked.weights)
    predictor = restored.predictor()
    progress.logger.info("predicting with %s", restored.which)
    vectors = []
    for first_line, chunk in _chunks():
        predicted = predictor(chunk, first_line=first_line)
        if asked.vectors is not None:
            vectors.append(predicted.vectors)
            continue
        for probabilities in predicted.probabilities:
            sys.stdout.write(_line(probabilities, restored.names, asked.top))
        sys.stdout.flush()
    return vectors


def _embedded(
    asked: PredictConfig, run: seq2vec_config.Seq2VecConfig
) -> "list[np.ndarray]":
    """Returns vectors of all lines, by a run of --head=embedding."""
    from trainers import prediction, restoring
    from trainers.models import build_vectors

    folder = pathlib.Path(asked.weights.workdir) / run_directory.VOCABULARY
    vocabularies = vocabulary.load_copy(folder)
    model = build_vectors.pairs(run, vocabularies)
    which = restoring.restore(model, asked.weights)
    progress.logger.info("embedding with %s", which)
    if asked.side == "src":
        embed = prediction.Embedder(model.src_vectors, vocabularies.src)
    else:
        embed = prediction.Embedder(model.tgt_vectors, vocabularies.tgt)
    return [embed(chunk, first_line=first_line) for first_line, chunk in _chunks()]


def _chunks() -> Iterator[tuple[int, list[str]]]:
    """Yields the lines of stdin, some at a time, with the number of the first."""
    texts, first_line = lines.read(sys.stdin.buffer, "stdin"), 1
    while chunk := list(itertools.islice(texts, _chunk_size())):
        yield first_line, chunk
        first_line += len(chunk)


def _chunk_size() -> int:
    """Returns how many lines are read before the first answer: one for a person."""
    return 1 if sys.stdin.isatty() else _CHUNK_LINES


def _line(probabilities: "np.ndarray", names: Sequence[str], top: int) -> str:
    order = sorted(range(len(names)), key=lambda index: -probabilities[index])
    plain = [" ".join(name.split()) for name in names]
    cells = [plain[order[0]]]
    cells += [f"{probabilities[index]:.4f} {plain[index]}" for index in order[:top]]
    return "\t".join(cells) + "\n"


def _write(vectors: "list[np.ndarray]", width: int, path: pathlib.Path) -> None:
    """Writes the vectors of all lines, whole or not at all."""
    import numpy as np

    array = np.concatenate([np.zeros((0, width), np.float32), *vectors])
    header = np.lib.format.header_data_from_array_1_0(array)
    with files.writing_whole(path) as file:
        # np.save would not say of a full disk that it is full.
        np.lib.format.write_array_header_1_0(file.buffer, header)
        file.buffer.write(array.data)


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, PredictConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
