"""Writes a trained model in a format that others load.

    python -m trainers.export --workdir=runs/quickstart/work --export_dir=exported

saved_model: TensorFlow and tensorflow-text alone run it, from text to text.
ctranslate2: the Transformer for CTranslate2, with its vocabularies; int8 if you like.
safetensors: the bare weights, for those who build the model elsewhere.

The directory appears whole or not at all; its README.md says how it is used.
"""

import dataclasses
import functools
import json
import pathlib
import shutil
import sys
from typing import Any

from flags import binding
from pipeline import (
    directories,
    exits,
    extras,
    files,
    knobs,
    progress,
    runtime,
    vocabulary,
)
from trainers import config, decoding_config, run_directory

_ACCOUNT = "export.json"  # tells an export of ours from somebody's own files
_README = "README.md"
_PACKAGES = {
    "saved_model": "tensorflow_text",
    "ctranslate2": "ctranslate2",
    "safetensors": "safetensors",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to export."""

    weights: decoding_config.WeightsConfig
    decoding: decoding_config.DecodingConfig
    export_dir: str = knobs.knob(help_text="Where the export goes.")
    format: str = knobs.knob(
        "saved_model", "In which format.", choices=tuple(_PACKAGES)
    )
    quantization: str = knobs.knob(
        "float32",
        "With --format=ctranslate2: how weights are stored.",
        choices=("float32", "bfloat16", "int8"),
    )
    overwrite: bool = knobs.knob(False, "Replaces an export that is there.")

    def __post_init__(self) -> None:
        """Raises ValueError for flags that do not go together."""
        if self.quantization != "float32" and self.format != "ctranslate2":
            raise ValueError(
                f"--quantization={self.quantization} is of --format=ctranslate2, not "
                f"of {self.format}"
            )
        if self.decoding.is_sampling or self.decoding.ensemble:
            raise ValueError(
                "--sampling_temperature and --ensemble are not for exports: export one "
                "model, decoded greedily or with a beam"
            )
        if (
            self.decoding != decoding_config.DecodingConfig()
            and self.format != "saved_model"
        ):
            raise ValueError(
                "how to decode, such as --beam_size, is part of --format=saved_model "
                f"alone; with {self.format} it is said where the model is used"
            )


def main(asked: ExportConfig) -> None:
    """Exports, or refuses before anything is written."""
    workdir = pathlib.Path(asked.weights.workdir)
    target = pathlib.Path(asked.export_dir).absolute()
    path = run_directory.flagfile_of_texts(workdir)
    run = binding.read_or_exit(path, config.Seq2SeqConfig)
    _check_model(asked, run)
    decoding_config.check_decodable(run.model, asked.decoding)
    vocabularies = vocabulary.load_copy(workdir / run_directory.VOCABULARY)
    with (
        directories.ended_by_signals(),
        files.locked(directories.lock_of(target), what=f"--export_dir={target}"),
    ):
        directories.recover(target)
        _check_replaceable(target, overwrite=asked.overwrite)
        runtime.start()
        extras.load(_PACKAGES[asked.format], needed_by=f"--format={asked.format}")
        with directories.appearing(target) as partial:
            which = _write(asked, run, vocabularies, partial)
    progress.logger.info("%s: %s of %s", target, asked.format, which)


def _check_model(asked: ExportConfig, run: config.Seq2SeqConfig) -> None:
    if asked.format == "ctranslate2" and run.model.model != "transformer":
        raise exits.Refusal(
            exits.MISMATCH,
            f"--format=ctranslate2: --workdir={asked.weights.workdir} is a run of "
            f"--model={run.model.model}, CTranslate2 takes the transformer alone; "
            "export it with --format=saved_model",
        )


def _check_replaceable(target: pathlib.Path, *, overwrite: bool) -> None:
    """Refuses a target that holds something, unless it is an export to be replaced."""
    if not target.exists():
        return
    if not target.is_dir():
        raise exits.Refusal(
            exits.MISMATCH, f"--export_dir={target}: is not a directory"
        )
    if not any(target.iterdir()):
        return
    if not (target / _ACCOUNT).is_file():
        raise exits.Refusal(
            exits.MISMATCH,
            f"--export_dir={target}: holds files that are not of an export; name "
            "another directory",
        )
    if not overwrite:
        raise exits.Refusal(
            exits.MISMATCH,
            f"--export_dir={target}: holds an export; name another directory, or "
            "replace it with --overwrite",
        )


def _write(
    asked: ExportConfig,
    run: config.Seq2SeqConfig,
    vocabularies: vocabulary.Vocabularies,
    directory: pathlib.Path,
) -> str:
    """Writes everything into a directory; returns which weights, in words."""
    from trainers import naming, restoring

    model, which = restoring.load(run, asked.weights, vocabularies)
    names = [entry.filename for entry in vocabularies.entries]
    source = pathlib.Path(asked.weights.workdir) / run_directory.VOCABULARY
    if asked.format == "saved_model":
        tokenizers = [(source / name).read_bytes() for name in names]
        page = _write_saved_model(asked, model, vocabularies, tokenizers, directory)
    else:
        for name in names:
            shutil.copyfile(source / name, directory / name)
        weights = {
            name: variable.numpy() for name, variable in naming.variables(model).items()
        }
        page = _write_weights(asked, run, vocabularies, weights, directory)
    account = {
        "format": asked.format,
        "checkpoints": which,
        "vocabularies": [dataclasses.asdict(entry) for entry in vocabularies.entries],
        "model": knobs.fixed_leaves(run.model),
    }
    if asked.format == "saved_model":
        account["decoding"] = dataclasses.asdict(asked.decoding)
    if asked.format == "ctranslate2":
        account["quantization"] = asked.quantization
    files.write_whole(directory / _ACCOUNT, json.dumps(account, indent=1) + "\n")
    title = f"# {asked.format}, {run.model.model}, {which}"
    files.write_whole(directory / _README, f"{title}\n\n{page}")
    return which


def _write_saved_model(
    asked: ExportConfig,
    model: Any,
    vocabularies: vocabulary.Vocabularies,
    tokenizers: list[bytes],
    directory: pathlib.Path,
) -> str:
    """Writes the SavedModel; returns how it is used."""
    from trainers import translation
    from trainers.exporting import saved_model

    translator = translation.Translator(model, vocabularies, asked.decoding)
    server = saved_model.Server(
        model,
        translator.best,
        (tokenizers[0], tokenizers[1]),
        max_source_tokens=asked.decoding.max_source_tokens,
        beam_size=asked.decoding.beam_size,
    )
    saved_model.write(server, directory)
    return saved_model.PAGE


def _write_weights(
    asked: ExportConfig,
    run: config.Seq2SeqConfig,
    vocabularies: vocabulary.Vocabularies,
    weights: dict[str, Any],
    directory: pathlib.Path,
) -> str:
    """Writes weights alone; returns how they are used."""
    if asked.format == "ctranslate2":
        from trainers.exporting import ctranslate2_model

        ctranslate2_model.write(
            weights, run.model, vocabularies, directory, asked.quantization
        )
        return ctranslate2_model.page(vocabularies)
    from trainers.exporting import safetensors_model

    safetensors_model.write(weights, directory)
    return safetensors_model.page(run.model, weights)


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, ExportConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
