"""What a build is asked to do."""

import dataclasses
import pathlib

import regex

from pipeline import exits, knobs, locations, manifest
from preprocessing import corpus_config, runner_config, subword_config

TASKS = ("pairs", "labels")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """Task: pairs of texts, or texts with a label."""

    task: str = knobs.knob(
        "pairs",
        "What the second column is: the target text, or the label of a class.",
        choices=TASKS,
    )
    label_names: tuple[str, ...] = knobs.knob(
        (),
        "The labels in the order of their ids; the training file's, sorted, if not "
        "set.",
    )
    label_map: tuple[str, ...] = knobs.knob(
        (),
        "Renames labels first: OLD=NEW,..., or a file with OLD, a tab and NEW a line.",
    )
    soft_labels: bool = knobs.knob(
        False,
        "The label column holds shares: as many numbers as --label_names, or a JSON "
        "object of names and numbers. They must sum to 1.",
    )

    def __post_init__(self) -> None:
        """Raises ValueError for label settings that make no sense."""
        for name in ("label_names", "label_map", "soft_labels"):
            if getattr(self, name) and self.task != "labels":
                raise ValueError(f"--{name} needs --task=labels")
        if self.soft_labels and not self.label_names:
            raise ValueError("--soft_labels needs --label_names")
        if self.soft_labels and self.label_map:
            raise ValueError("--soft_labels and --label_map exclude each other")
        if len(set(self.label_names)) != len(self.label_names):
            raise ValueError(
                f"--label_names={','.join(self.label_names)}: a name is there twice"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CleaningConfig:
    """Cleaning: which training pairs are left out; valid and test are kept whole."""

    min_length: int = knobs.knob(1, "Shortest side kept, in tokens.")
    max_length: int = knobs.knob(
        256, "Longest side kept, in tokens, BOS or EOS included."
    )
    overlong: str = knobs.knob(
        "drop",
        "What happens to training pairs over --max_length: drop, or truncate both "
        "sides.",
        choices=("drop", "truncate"),
    )
    max_bytes: int = knobs.knob(
        32_768, "Longest side kept, in bytes; in valid and test too."
    )
    max_ratio: float = knobs.knob(
        0.0, "Largest ratio of the sides' lengths in tokens; 0 for any."
    )
    control: str = knobs.knob(
        "drop",
        "What happens to training pairs with NUL or another C0 control character: "
        "drop or keep.",
        choices=("drop", "keep"),
    )
    drop_identical: bool = knobs.knob(
        False, "Leaves out training pairs whose sides are the same text."
    )
    dedup: bool = knobs.knob(
        False, "Leaves out training pairs that were there before, by 64-bit hash."
    )
    drop_overlap: bool = knobs.knob(
        False,
        "Leaves out training pairs that are in valid or test; they are counted in any "
        "case.",
    )
    same_by: str = knobs.knob(
        "pair",
        "What makes two pairs the same for --dedup and --drop_overlap: both sides, or "
        "the source alone; then the others go even where the first one turns out too "
        "long in tokens.",
        choices=("pair", "source"),
    )
    src_script: str | None = knobs.knob(
        None, "Unicode script of the sources, such as Latin or Han; other pairs go."
    )
    tgt_script: str | None = knobs.knob(None, "Unicode script of the targets.")
    min_script_share: float = knobs.knob(
        0.5, "Share of a side's letters that must be of its script."
    )

    def __post_init__(self) -> None:
        """Raises ValueError for bounds that would keep nothing or not fit a record."""
        knobs.require_at_least(self, 2, "max_length")
        knobs.require_in(self, f"[1, {self.max_length - 1}]", "min_length")
        # A sidecar counts to 65,535; a pair that normalises to more is left out later.
        knobs.require_in(self, "[1, 65000]", "max_bytes")
        if self.max_ratio and self.max_ratio < 1:
            raise ValueError(
                f"--max_ratio must be 0 or at least 1, got {self.max_ratio}"
            )
        knobs.require_in(self, "(0, 1]", "min_script_share")
        if not (self.dedup or self.drop_overlap):
            knobs.refuse_without_effect(self, ["same_by"], "--dedup or --drop_overlap")
        if not (self.src_script or self.tgt_script):
            needed = "--src_script or --tgt_script"
            knobs.refuse_without_effect(self, ["min_script_share"], needed)
        for name in ("src_script", "tgt_script"):
            _check_script(name, getattr(self, name))


def _check_script(name: str, script: str | None) -> None:
    if script is None:
        return
    try:
        regex.compile(rf"\p{{Script={script}}}")
    except regex.error:
        raise ValueError(
            f"--{name}={script}: no such Unicode script; Latin, Cyrillic, Greek, Han, "
            "Arabic, Devanagari, Hangul and so on"
        ) from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """Output."""

    data_dir: str = knobs.knob(help_text="The data directory to make.", may_change=True)
    num_shards: int = knobs.knob(
        16, "Files of the training split; fewer if there are fewer pairs."
    )
    store_text: bool = knobs.knob(
        False, "Keeps the raw text of training pairs too; valid and test always do."
    )
    seed: int = knobs.knob(1, "Of everything that is drawn: splits and samples.")
    num_workers: int = knobs.knob(
        0,
        "Processes that encode; 0 for one a core. Does not change the result.",
        may_change=True,
    )
    overwrite: bool = knobs.knob(
        False,
        "Builds again, and replaces the data directory that is there.",
        may_change=True,
    )

    def __post_init__(self) -> None:
        """Raises ValueError for counts that make no sense."""
        knobs.require_in(self, "[1, 99999]", "num_shards")
        knobs.require_in(self, "[0, 2**31)", "seed")
        knobs.require_at_least(self, 0, "num_workers")

    @property
    def location(self) -> locations.Location:
        """The data directory, which may be remote; where a link leads to.

        Raises:
            exits.Refusal: If it is a link that leads to itself.
        """
        found = locations.locate(self.data_dir)
        if not isinstance(found, pathlib.Path):
            return found
        try:
            return found.resolve()
        except RuntimeError:
            raise exits.Refusal(
                exits.MISSING_INPUT,
                f"--data_dir={self.data_dir}: is a link that leads back to itself",
            ) from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """Everything a build depends on."""

    output: OutputConfig
    corpus: corpus_config.CorpusConfig
    task: TaskConfig
    subwords: subword_config.SubwordConfig
    cleaning: CleaningConfig
    runner: runner_config.RunnerConfig = dataclasses.field(
        default_factory=runner_config.RunnerConfig
    )

    def __post_init__(self) -> None:
        """Raises ValueError for settings that exclude each other across groups."""
        self._check_runner()
        if self.task.task == "labels":
            self._check_labels()

    def _check_runner(self) -> None:
        if self.runner.runner == "beam" and self.output.num_workers:
            raise ValueError(
                f"--num_workers={self.output.num_workers} needs --runner=local; an "
                "engine has an option of its own, such as "
                "--beam_options=--direct_num_workers=4"
            )
        if self.runner.runner == "local" and "://" in self.output.data_dir:
            raise ValueError(
                f"--data_dir={self.output.data_dir} needs --runner=beam; the local "
                "runner writes to a file system of this machine"
            )
        _, scheme, place = self.output.data_dir.partition("://")
        if scheme and "/" not in place.rstrip("/"):
            raise ValueError(
                f"--data_dir={self.output.data_dir}: name a folder in it, "
                f"{self.output.data_dir.rstrip('/')}/FOLDER"
            )
        if "://" in self.output.data_dir and self.output.overwrite:
            raise ValueError(
                f"--overwrite cannot replace --data_dir={self.output.data_dir}: there "
                "is no swap of directories on a remote file system; name another one"
            )

    def _check_labels(self) -> None:
        if self.corpus.corpus:
            raise ValueError(f"--corpus={self.corpus.corpus} holds pairs, not labels")
        if self.subwords.shared_vocab:
            raise ValueError("--shared_vocab needs --task=pairs: labels have no text")
        for name in ("tgt_vocab_size", "tgt_model_type", "tgt_spm_model"):
            if getattr(self.subwords, name) is not None:
                raise ValueError(f"--{name} needs --task=pairs: labels have no text")
        if self.subwords.src_spm_model:
            self.subwords.check_nothing_learned("src_spm_model")
        if not self.subwords.given("src"):
            self.subwords.check_varies("src")
        for split in manifest.SPLITS:
            layout = self.corpus.layout(split)
            columns = layout.columns
            if layout.reference_separator is not None:
                raise ValueError(
                    f"--reference_separator={layout.reference_separator} needs "
                    "--task=pairs: a text has one label"
                )
            if getattr(self.corpus, split) and len(columns) > 2:
                raise ValueError(
                    f"--columns={','.join(columns)}: with --task=labels there are two, "
                    "text and label; a+b joins two"
                )
        for name in ("max_ratio", "drop_identical", "tgt_script"):
            if getattr(self.cleaning, name):
                raise ValueError(f"--{name} needs --task=pairs: labels have no text")
