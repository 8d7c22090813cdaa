r"""Trains a model from texts to classes, from a data directory of --task=labels.

    python -m trainers.seq2vec --flagfile=flags/seq2vec_trec.flags \
        --data_dir=runs/trec/data --workdir=runs/trec/work

Stopped by a signal or killed, the same command goes on from the newest checkpoint, and
ends with the weights it would have had without the interruption.
"""

import functools
import sys

from flags import binding
from pipeline import config as pipeline_config
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
        runtime.start(deterministic=asked.run.deterministic)
        from pipeline import input_pipeline
        from trainers import classification, precision, tasks, training, validation
        from trainers.models import build_vectors

        dtype = precision.dtype_of(asked.run.dtype)
        unchanged = {
            "flags": asked.fixed() | {"dtype": dtype},
            "data": mixing.identity(corpora),
            "vocabulary": [entry.sha256],
            "labels": names,
        }
        weights = None
        if asked.head.class_weights == "balanced":
            one = pipeline_config.BatchConfig(batch_rows=1)
            every = input_pipeline.open_corpora(corpora, "train", one, seed=0)
            weights = classification.balanced_weights(every, len(names))
        model = build_vectors.classifier(asked, words.size, len(names), weights, dtype)

        def validate(
            budgeted: seq2vec_config.Seq2VecConfig,
        ) -> validation.Validate | None:
            held_out = validation.open_valid(budgeted, facts)
            if held_out is None:
                return None
            return classification.Validation(
                model, held_out, len(names), lambda: bool(stop)
            )

        directory = run_directory.RunDirectory(workdir)
        ready = training.prepare(
            asked,
            tasks.classes(len(names)),
            corpora,
            unchanged,
            model,
            pieces={"src": words.pieces(range(words.size))},
            dtype=dtype,
            validate=validate,
            stop=stop,
        )
        # Not before the checkpoint agrees: a refused command changes nothing.
        vocabulary.copy_entries(home, [entry], directory.vocabulary)
        directory.write_labels(names)
        directory.write_flags(binding.to_lines(ready.config))
        training.run(ready)


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, seq2vec_config.Seq2VecConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
