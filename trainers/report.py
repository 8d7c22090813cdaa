r"""Writes a run as one HTML page, report.html in its working directory.

    python -m trainers.report --workdir=runs/quickstart/work
    python -m trainers.report --workdir=W --against=W2,W3

The page needs no network. A run writes it too when it ends (--report), without the
attention maps, which need the model.
"""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flags import binding
from pipeline import exits, knobs, mixing, progress, runtime
from trainers import config, run_directory
from trainers.reporting import settings

if TYPE_CHECKING:
    from trainers.reporting import batches, markup


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What to show."""

    workdir: str = knobs.knob(help_text="The working directory of a run.")
    against: tuple[str, ...] = knobs.knob(
        (), "Working directories of other runs, comma-separated, shown beside it."
    )
    attention: int = knobs.knob(
        3, "Sentences of samples.txt whose attention is drawn; 0 for none."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for a count that cannot be."""
        knobs.require_at_least(self, 0, "attention")


def main(asked: ReportConfig) -> None:
    """Writes the page and says where it is."""
    workdir = pathlib.Path(asked.workdir)
    beside = [pathlib.Path(name) for name in asked.against]
    for path in beside:
        run_directory.flagfile(path, "--against")
    run = _config(workdir)
    runtime.start()
    from trainers.reporting import writing

    path = writing.write(
        workdir,
        beside=beside,
        planned=_planned(run, workdir),
        attention=_attention(asked, run, workdir),
    )
    print(path)


def _config(workdir: pathlib.Path) -> Any:
    """Returns a run's config, or in words why its flags are not understood."""
    program = settings.config_class(run_directory.flags_of(workdir))
    flagfile = run_directory.flagfile(workdir)
    try:
        return binding.parse([f"--flagfile={flagfile}"], program)
    except binding.FlagError as error:
        return f"Not known: the flags of the run are of another version ({error})."


def _planned(run: Any, workdir: pathlib.Path) -> "batches.Batches | str":
    """Returns the batches of a run, planned again, or why they cannot be."""
    if isinstance(run, str):
        return run
    from trainers import preparing
    from trainers.reporting import writing

    try:
        corpora = mixing.corpora(run.run.data_path, run.batch)
        source = preparing.open_source(run, corpora, on_gpu=_was_on_gpu(workdir))
        return writing.of_plan(run, source.plan)
    except exits.Refusal as error:
        return f"Not known, as the data cannot be read any more: {error}"


def _was_on_gpu(workdir: pathlib.Path) -> bool | None:
    """Returns whether a run had a GPU; None where it does not say."""
    from trainers.reporting import collecting

    devices = collecting.read(workdir).summary.get("machine", {}).get("devices")
    return None if devices is None else "GPU" in devices


def _attention(
    asked: ReportConfig, run: Any, workdir: pathlib.Path
) -> "Sequence[markup.Markup] | str | None":
    """Returns pictures of attention, or why there are none."""
    if not asked.attention or not isinstance(run, config.Seq2SeqConfig | str):
        return None
    if isinstance(run, str):
        return run
    from trainers.reporting import attended, collecting

    try:
        found = attended.read(collecting.read(workdir), run, asked.attention)
    except exits.Refusal as error:
        return f"None: {error}"
    return attended.describe(found) if found else "None: the run kept no samples."


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, ReportConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
