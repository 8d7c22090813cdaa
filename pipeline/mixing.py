"""Several data directories trained on as one.

A mixture gives each corpus a share of the examples of an epoch:

    share of corpus i = w_i ** (1 / temperature) / sum of the same over all corpora

and an epoch has as many examples as all corpora together, so a pair of corpus i comes
share_i * N / N_i times in an epoch: its rate. The plan spreads rates over the epochs,
so that none of the pairs is read more than once more often than another of its corpus.
With the sizes for weights and temperature 1, every pair comes once. Temperature is that
of Arivazhagan et al. 2019, section 4.2, https://arxiv.org/abs/1907.05019.
"""

from typing import Any, NamedTuple

from pipeline import config, exits, files, locations, manifest

# A rate that differs from a round one by less comes from arithmetic, not from a weight.
_DIGITS = 9


class Corpus(NamedTuple):
    """A data directory to read, and how often.

    Attributes:
        directory: Where it is.
        facts: Its manifest.
        rate: How often each of its pairs comes in an epoch.
    """

    directory: locations.Location
    facts: manifest.Manifest
    rate: float = 1.0


def corpora(data_dir: locations.Location, asked: config.BatchConfig) -> list[Corpus]:
    """Returns what to train on: a data directory, or the mixture that is asked for.

    Raises:
        exits.Refusal: If a directory cannot be read, or was not made with the
            vocabulary of `data_dir`.
    """
    home = manifest.read(data_dir)
    if not asked.mix:
        return [Corpus(data_dir, home)]
    wanted = _vocabularies(home)
    members = []
    for name in asked.mix_weights:
        facts = manifest.read(locations.locate(name), "--mix")
        if _vocabularies(facts) != wanted:
            raise exits.Refusal(
                exits.MISMATCH,
                f"--mix={name}: was made with another vocabulary or other labels than "
                f"--data_dir={data_dir}; build it with {_same_models(data_dir, home)}",
            )
        members.append(facts)
    sizes = [facts.split("train").num_records for facts in members]
    weights = [
        size if weight is None else weight
        for weight, size in zip(asked.mix_weights.values(), sizes, strict=True)
    ]
    found = rates(weights, sizes, asked.mix_temperature)
    for name, rate in zip(asked.mix_weights, found, strict=True):
        if not rate:
            raise exits.Refusal(
                exits.USAGE,
                f"--mix={name}: its weight is too small beside the others for one of "
                "its pairs to come; raise it or --mix_temperature, or leave it out",
            )
    return [
        Corpus(locations.locate(name), facts, rate)
        for name, facts, rate in zip(asked.mix_weights, members, found, strict=True)
    ]


def corpora_of(
    home: locations.Location, asked: config.BatchConfig, split: str
) -> list[Corpus]:
    """Returns what to read for a split: the mixture to train on, else `home` alone."""
    if split == "train":
        return corpora(home, asked)
    return [Corpus(home, manifest.read(home))]


def rates(weights: list[float], sizes: list[int], temperature: float) -> list[float]:
    """Returns how often a pair of each corpus comes in an epoch.

    >>> rates([2, 1], [100, 500], 1.0)
    [4.0, 0.4]
    >>> rates([100, 500], [100, 500], 1.0)
    [1.0, 1.0]

    Args:
        weights: Of the corpora, above 0.
        sizes: Pairs of each.
        temperature: Above 0.
    """
    most = max(weights)  # or a low temperature would leave the range of numbers
    powers = [(weight / most) ** (1 / temperature) for weight in weights]
    return [
        round(power / sum(powers) * sum(sizes) / size, _DIGITS)
        for power, size in zip(powers, sizes, strict=True)
    ]


def identity(members: list[Corpus]) -> str:
    """Returns a hash of the data that is read, wherever it is."""
    parts = [manifest.identity(member.facts) for member in members]
    return parts[0] if len(parts) == 1 else files.sha256_text("\n".join(parts))


def _same_models(data_dir: locations.Location, facts: manifest.Manifest) -> str:
    """Returns the flags that build another data directory with the same vocabulary."""
    src, tgt = facts.src_vocabulary.filename, facts.tgt_vocabulary
    if tgt is None or tgt.filename == src:
        return f"--spm_model={data_dir}/{src}"
    return f"--src_spm_model={data_dir}/{src} --tgt_spm_model={data_dir}/{tgt.filename}"


def _vocabularies(facts: manifest.Manifest) -> tuple[Any, ...]:
    tgt = facts.tgt_vocabulary
    if tgt is not None:
        return facts.src_vocabulary.sha256, tgt.sha256
    is_soft = bool(facts.settings.get("soft_labels"))
    return facts.src_vocabulary.sha256, facts.label_names, is_soft
