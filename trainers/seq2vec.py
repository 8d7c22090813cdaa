r"""Trains a model from texts to classes, or to vectors, from a data directory.

    python -m trainers.seq2vec --flagfile=flags/seq2vec_trec.flags \
        --data_dir=runs/trec/data --workdir=runs/trec/work

With --head=classes the data is of --task=labels; with --head=embedding it is of pairs,
and the vectors of a pair come to lie near each other.

Stopped by a signal or killed, the same command goes on from the newest checkpoint, and
ends with the weights it would have had without the interruption.
"""

import functools
import sys

from flags import binding
from pipeline import exits, manifest, mixing, progress, vocabulary
from trainers import seq2vec_config, session


def main(asked: seq2vec_config.Seq2VecConfig) -> None:
    """Trains, or goes on training."""
    home = asked.run.data_path
    facts = manifest.read(home)
    names: list[str] = []
    if asked.head.head == "classes":
        names = facts.classes()
        entries = [facts.src_vocabulary]
    else:
        entries = list(facts.pair_vocabularies())
    vocabulary.check_files(home, entries)
    corpora = mixing.corpora(home, asked.batch)
    for corpus in corpora:
        manifest.check_files(corpus.facts, corpus.directory, "train")
    with session.opened(asked) as stop:
        from trainers import (
            precision,
            preparing,
            replicas,
            training,
            vector_tasks,
        )

        over = replicas.make(asked.distribution, asked.batch.plan_lanes)
        stop.listen()
        dtype = precision.dtype_of(asked.run.dtype)
        make = vector_tasks.classes if names else vector_tasks.pairs
        with over.scope():
            parts = make(asked, corpora, facts, dtype, lambda: over.breaks_off(stop))
        unchanged = {
            "flags": asked.unchanged() | {"dtype": dtype},
            "data": mixing.identity(corpora),
            "vocabulary": [entry.sha256 for entry in entries],
            "labels": names,
        }
        ready = preparing.prepare(
            asked, parts, corpora, unchanged, dtype=dtype, stop=stop, over=over
        )
        if names and over.is_chief:
            ready.directory.write_labels(names)
        training.begin(ready, home, entries, binding.to_lines(ready.config))


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, seq2vec_config.Seq2VecConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
