"""Writes the page of a run into its working directory."""

import pathlib
from collections.abc import Sequence

import numpy as np

from pipeline import files, mixing, progress
from pipeline import plan as plan_lib
from trainers import config
from trainers.reporting import batches, collecting, corpus, markup, page

FILENAME = "report.html"
_ASK = "python -m trainers.report --workdir={} draws attention maps."


def write(
    workdir: pathlib.Path,
    *,
    beside: Sequence[pathlib.Path] = (),
    planned: batches.Batches | str,
    attention: Sequence[markup.Markup] | str | None = None,
) -> pathlib.Path:
    """Writes `report.html` and returns where it is.

    Args:
        workdir: Of the run.
        beside: Working directories of runs to compare it with.
        planned: Its batches, or why they are not known.
        attention: Pictures of attention, or why there are none.

    Raises:
        exits.Refusal: If a directory is not that of a run.
    """
    runs = collecting.read_all([workdir, *beside])
    content = page.Content(runs, corpus.facts(runs[0]), planned, attention)
    path = workdir / FILENAME
    files.write_whole(path, page.render(content))
    return path


def write_after(asked: config.TrainConfig, plan: plan_lib.Plan) -> None:
    """Writes the page of a run that has ended; what goes wrong is a line in the log.

    Args:
        asked: Its config.
        plan: Of its batches.
    """
    workdir = asked.run.workdir_path
    try:
        is_of_texts = isinstance(asked, config.Seq2SeqConfig)
        path = write(
            workdir,
            planned=of_plan(asked, plan),
            attention=_ASK.format(workdir) if is_of_texts else None,
        )
        progress.logger.info("report written: %s", path)
    except Exception as error:
        progress.logger.error(
            "no report could be written (%s: %s)", type(error).__name__, error
        )


def of_plan(asked: config.TrainConfig, plan: plan_lib.Plan) -> batches.Batches:
    """Returns the batches of a run in numbers."""
    corpora = mixing.corpora(asked.run.data_path, asked.batch)
    lengths = [corpus.facts.split("train").joint_histogram() for corpus in corpora]
    return batches.of(plan, np.concatenate(lengths), asked.batch.tokens)
