r"""Trains a sequence-to-sequence model from a data directory.

    python -m trainers.seq2seq --flagfile=flags/seq2seq_cmudict.flags \
        --data_dir=runs/quickstart/data --workdir=runs/quickstart/work

Stopped by a signal or killed, the same command goes on from the newest checkpoint, and
ends with the weights it would have had without the interruption.
"""

import functools
import sys

from flags import binding
from pipeline import (
    exits,
    manifest,
    mixing,
    progress,
    vocabulary,
)
from trainers import config, session


def main(asked: config.Seq2SeqConfig) -> None:
    """Trains, or goes on training."""
    home = asked.run.data_path
    entries = manifest.read(home).pair_vocabularies()
    vocabularies = vocabulary.load(home, entries)
    corpora = mixing.corpora(home, asked.batch)
    for corpus in corpora:
        manifest.check_files(corpus.facts, corpus.directory, "train")
    with session.opened(asked) as stop:
        from trainers import (
            precision,
            preparing,
            replicas,
            starting,
            tasks,
            training,
            validation,
        )
        from trainers.models import build

        over = replicas.make(asked.distribution, asked.batch.plan_lanes)
        stop.listen()
        # A Keras model's layers have types of their own, whatever the hardware.
        of_keras = asked.model.model == "keras"
        dtype = "float32" if of_keras else precision.dtype_of(asked.run.dtype)
        unchanged = {
            "flags": asked.unchanged() | {"dtype": dtype},
            "data": mixing.identity(corpora),
            "vocabulary": vocabularies.hashes,
        }
        with over.scope():
            model = build.make(asked, vocabularies, dtype)
        parts = preparing.Parts(
            tasks.SEQ2SEQ,
            model,
            pieces=starting.pieces_of(vocabularies),
            validate=lambda budgeted: validation.make(
                budgeted, vocabularies, model, lambda: over.breaks_off(stop)
            ),
        )
        ready = preparing.prepare(
            asked, parts, corpora, unchanged, dtype=dtype, stop=stop, over=over
        )
        training.begin(ready, home, entries, binding.to_lines(ready.config))


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, config.Seq2SeqConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
