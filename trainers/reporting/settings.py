"""The flags of a run as texts, and which of them somebody chose."""

from pipeline import knobs
from trainers import config, run_directory, seq2vec_config

PATHS = ("workdir", "data_dir")  # where a run is says nothing of what it is


def config_class(flags: dict[str, str]) -> type:
    """Returns the config of the program that wrote such flags."""
    if run_directory.are_of_vectors(flags):
        return seq2vec_config.Seq2VecConfig
    return config.Seq2SeqConfig


def defaults(flags: dict[str, str]) -> dict[str, str]:
    """Returns the default of every flag that has one, as a flagfile says it."""
    return {
        name: knobs.text_of(field.default)
        for name, (field, _) in knobs.leaves(config_class(flags)).items()
        if field.default is not knobs.MISSING
    }


def chosen(flags: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Returns the flags that differ from their default: (value, default), by name.

    A flag of another version, whose default nobody knows any more, is among them.
    """
    usual = defaults(flags)
    return {
        name: (value, usual.get(name, ""))
        for name, value in flags.items()
        if name not in PATHS and value != usual.get(name)
    }


def differing(runs: list[dict[str, str]]) -> dict[str, list[str]]:
    """Returns the flags that are not the same in all runs, with their values.

    A run that does not have a flag, as it is older, has its default.
    """
    usual = [defaults(flags) for flags in runs]
    names = dict.fromkeys(name for flags in runs for name in flags)
    found = {
        name: [
            flags.get(name, of_run.get(name, ""))
            for flags, of_run in zip(runs, usual, strict=True)
        ]
        for name in names
        if name not in PATHS
    }
    return {name: values for name, values in found.items() if len(set(values)) > 1}
