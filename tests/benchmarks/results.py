"""Runs a row of RESULTS.md again: builds its data, trains, scores.

    python -m tests.benchmarks.results               lists the rows
    python -m tests.benchmarks.results trec          runs one, with --seed=2 another one
    python -m tests.benchmarks.results numbers_lstm -- --attention=luong

After -- stand flags of the trainer; they have a working directory of their own. Raw
text that is not part of the project must be where the flagfile says. What is finished
already is not done again, and what was stopped goes on.
"""

import argparse
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]


class Row(NamedTuple):
    """A row: the flagfiles of its data and its run, and how it is scored.

    Attributes:
        data: `flags/preprocess_<data>.flags`.
        run: `flags/<run>.flags`.
        score: Flags of trainers.evaluate.
    """

    data: str
    run: str
    score: tuple[str, ...] = ("--split=test",)


AVERAGED = ("--split=test", "--checkpoints=average:10", "--beam_size=5")
SPOKEN = ("--split=valid", "--checkpoints=average:3", "--beam_size=5")
ROWS = {
    "agnews": Row("agnews", "seq2vec_agnews"),
    "banking77": Row("banking77", "seq2vec_banking77"),
    "cmudict": Row(
        "cmudict",
        "seq2seq_cmudict",
        ("--split=test", "--checkpoints=average:3", "--baseline"),
    ),
    "cmudict_lstm": Row("cmudict_dev", "seq2seq_cmudict_lstm", SPOKEN),
    "cmudict_lstm_plain": Row("cmudict_dev", "seq2seq_cmudict_lstm_plain", SPOKEN),
    "cmudict_transformer": Row("cmudict_dev", "seq2seq_cmudict_transformer", SPOKEN),
    "fraeng": Row(
        "fraeng",
        "seq2seq_fraeng",
        ("--split=test", "--checkpoints=average:5", "--beam_size=5"),
    ),
    "multi30k_lstm": Row(
        "multi30k_ende", "seq2seq_multi30k_ende_lstm", ("--split=test", "--beam_size=5")
    ),
    "multi30k_20min": Row(
        "multi30k_ende",
        "seq2seq_multi30k_ende_20min",
        ("--split=test", "--checkpoints=average:5"),
    ),
    "multi30k_90min": Row("multi30k_ende", "seq2seq_multi30k_ende_90min", AVERAGED),
    "numbers": Row("numbers", "seq2seq_numbers"),
    "numbers_lstm": Row("numbers", "seq2seq_numbers_lstm"),
    "scan_lstm": Row("scan", "seq2seq_scan_lstm"),
    "scan": Row("scan", "seq2seq_scan"),
    "scitldr": Row(
        "scitldr",
        "seq2seq_scitldr",
        (
            "--split=test",
            "--checkpoints=average:3",
            "--beam_size=5",
            "--no_repeat_ngram=3",
        ),
    ),
    "sst2": Row("sst2", "seq2vec_sst2"),
    "trec": Row("trec", "seq2vec_trec"),
}


def commands(name: str, seed: int, changes: Sequence[str] = ()) -> list[list[str]]:
    """Returns the command lines of a row, without the interpreter.

    Args:
        name: Of the row.
        seed: Of the run.
        changes: Flags of the trainer, after those of the flagfile.
    """
    row = ROWS[name]
    data = f"--data_dir=runs/results/{row.data}"
    told = "".join(f"+{flag.lstrip('-')}" for flag in changes).replace("/", "_")
    workdir = f"--workdir=runs/results/{row.run}-{seed}{told}"
    trainer = f"trainers.{row.run.partition('_')[0]}"
    return [
        ["preprocessing.build", f"--flagfile=flags/preprocess_{row.data}.flags", data],
        [
            *(trainer, f"--flagfile=flags/{row.run}.flags"),
            *(data, workdir, f"--seed={seed}", *changes),
        ],
        ["trainers.evaluate", workdir, *row.score],
    ]


def main() -> None:
    """Runs a row, or lists them."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        epilog="After -- stand flags of the trainer.",
    )
    parser.add_argument("row", nargs="?", choices=sorted(ROWS))
    parser.add_argument("--seed", type=int, default=1)
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    changes = sys.argv[end + 1 :]  # argparse takes no options after --
    asked = parser.parse_args(sys.argv[1:end])
    if asked.row is None:
        print("\n".join(sorted(ROWS)))
        return
    for command in commands(asked.row, asked.seed, changes):
        print(f"python -m {' '.join(command)}", flush=True)
        done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False)
        if done.returncode:
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
