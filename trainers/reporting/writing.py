"""Writes the page of a run into its working directory."""

import pathlib
from collections.abc import Sequence

from pipeline import files, locations, manifest, progress
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
        told = _ASK.format(workdir) if hasattr(asked, "model") else None
        is_of_texts = isinstance(asked, config.Seq2SeqConfig)
        path = write(
            workdir,
            planned=of_plan(asked, plan),
            attention=told if is_of_texts else None,
        )
        progress.logger.info("report written: %s", path)
    except Exception as error:
        progress.logger.error(
            "no report could be written (%s: %s)", type(error).__name__, error
        )


def of_plan(asked: config.TrainConfig, plan: plan_lib.Plan) -> batches.Batches | str:
    """Returns the batches of a run in numbers, or why they cannot be told."""
    if asked.batch.mix:
        return "The batches of a mixture (--mix) are not drawn."
    data = manifest.read(locations.locate(asked.run.data_dir))
    histogram = data.split("train").joint_histogram()
    return batches.of(plan, histogram, asked.batch.tokens)
