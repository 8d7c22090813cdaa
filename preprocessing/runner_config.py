"""Who does the work of a build: this machine's cores, or an engine behind Beam."""

import dataclasses

from pipeline import knobs


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunnerConfig:
    """Runner: who does the work. None of it changes the result."""

    runner: str = knobs.knob(
        "local",
        "local: processes of this machine. beam: an engine that Apache Beam drives, "
        "see --beam_runner.",
        choices=("local", "beam"),
        may_change=True,
    )
    beam_runner: str | None = knobs.knob(
        None,
        "Of --runner=beam: the engine, such as DirectRunner (this machine, to try it), "
        "FlinkRunner, SparkRunner or DataflowRunner. (DirectRunner if not set)",
        may_change=True,
    )
    beam_options: tuple[str, ...] = knobs.knob(
        (),
        "Of --runner=beam: the engine's own options, separated by commas: "
        "--beam_options=--direct_num_workers=4,--direct_running_mode=multi_processing",
        may_change=True,
    )

    def __post_init__(self) -> None:
        """Raises ValueError for options of an engine that is not asked for."""
        for name in ("beam_runner", "beam_options"):
            if getattr(self, name) and self.runner != "beam":
                raise ValueError(f"--{name} needs --runner=beam")
        for option in self.beam_options:
            if not option.startswith("--"):
                raise ValueError(
                    f"--beam_options={','.join(self.beam_options)}: {option!r} does "
                    "not begin with --; an option is --NAME=VALUE"
                )
            if option.partition("=")[0] == "--runner":
                raise ValueError(
                    f"--beam_options={option}: name the engine with --beam_runner"
                )

    @property
    def engine(self) -> str:
        """The engine's name in Beam's words."""
        return self.beam_runner or "DirectRunner"
