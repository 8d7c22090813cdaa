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
            resuming,
            starting,
            tasks,
            training,
            validation,
        )
        from trainers.models import build

        over = replicas.make(asked.distribution, asked.batch.plan_lanes)
        stop.listen()
        dtype = precision.dtype_of(asked.run.dtype)
        unchanged = {
            "flags": asked.unchanged() | {"dtype": dtype},
            "data": mixing.identity(corpora),
            "vocabulary": [entry.sha256 for entry in entries],
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
        # Not before the checkpoint agrees: a refused command changes nothing.
        if over.is_chief:
            vocabulary.copy(home, vocabularies, ready.directory.vocabulary)
        changed = ready.directory.write_flags(binding.to_lines(ready.config))
        resuming.note_flags(ready.state, changed, ready.next_step - 1)
        with over.noticing_losses():
            training.run(ready)


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, config.Seq2SeqConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
