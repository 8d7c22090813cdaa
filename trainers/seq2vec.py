r"""Trains a model from texts to classes, from a data directory of --task=labels.

    python -m trainers.seq2vec --flagfile=flags/seq2vec_trec.flags \
        --data_dir=runs/trec/data --workdir=runs/trec/work

Stopped by a signal or killed, the same command goes on from the newest checkpoint, and
ends with the weights it would have had without the interruption.
"""

import functools
import sys

from flags import binding
from pipeline import (
    exits,
    files,
    manifest,
    mixing,
    progress,
    runtime,
    vocabulary,
)
from trainers import run_directory, seq2vec_config, signals


def main(asked: seq2vec_config.Seq2VecConfig) -> None:
    """Trains, or goes on training."""
    home = asked.run.data_path
    facts = manifest.read(home)
    names = facts.classes()
    entry = facts.src_vocabulary
    words = vocabulary.load_one(home, entry)
    corpora = mixing.corpora(home, asked.batch)
    for corpus in corpora:
        manifest.check_files(corpus.facts, corpus.directory, "train")
    workdir = asked.run.workdir_path
    with files.locked(workdir / files.LOCK_NAME, what=f"--workdir={workdir}"):
        stop = signals.StopRequest()
        runtime.start()
        from trainers import classification, precision, tasks, training, validation
        from trainers.models import build_vectors

        dtype = precision.dtype_of(asked.run.dtype)
        unchanged = {
            "flags": asked.fixed() | {"dtype": dtype},
            "data": mixing.identity(corpora),
            "vocabulary": [entry.sha256],
            "labels": names,
        }
        source = training.open_source(asked, corpora)
        weights = None
        if asked.head.class_weights == "balanced":
            weights = classification.balanced_weights(source, len(names))
        model = build_vectors.classifier(asked, words.size, len(names), weights, dtype)

        def validate() -> validation.Validate | None:
            held_out = validation.open_valid(asked, facts)
            if held_out is None:
                return None
            return classification.Validation(
                model, held_out, len(names), lambda: bool(stop)
            )

        directory = run_directory.RunDirectory(workdir)
        ready = training.prepare(
            asked,
            tasks.classes(len(names)),
            source,
            unchanged,
            model,
            dtype=dtype,
            validate=validate,
            stop=stop,
        )
        # Not before the checkpoint agrees: a refused command changes nothing.
        vocabulary.copy_entries(home, [entry], directory.vocabulary)
        directory.write_labels(names)
        directory.write_flags(binding.to_lines(asked))
        training.run(ready)


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, seq2vec_config.Seq2VecConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
