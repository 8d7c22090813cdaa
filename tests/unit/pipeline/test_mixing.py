import collections
import dataclasses

import numpy as np
import pytest

from pipeline import (
    config,
    data_sources,
    dataset,
    exits,
    input_pipeline,
    locations,
    manifest,
    mixing,
)
from pipeline import plan as plan_lib
from tests import small_data


@pytest.fixture(scope="module")
def directories(tmp_path_factory) -> list[str]:
    """Two data directories with one vocabulary, of 300 and 100 pairs."""
    folder = tmp_path_factory.mktemp("mix")
    first = small_data.make(folder / "a")
    second = small_data.make(
        folder / "b", count=100, spm_model=first / "shared.model", seed=5
    )
    return [str(first), str(second)]


def _config(directories, *weights: str, **changes) -> config.BatchConfig:
    mix = tuple(
        f"{name}{weight}" for name, weight in zip(directories, weights, strict=True)
    )
    settings = {"tokens_per_batch": 512, "num_buckets": 3, "pool_examples": 150}
    return config.BatchConfig(mix=mix, **(settings | changes))


def _open(directories, asked: config.BatchConfig) -> data_sources.Source:
    corpora = mixing.corpora(locations.locate(directories[0]), asked)
    return data_sources.open_corpora(corpora, "train", asked, seed=3)


def _rows(batches):
    """Yields the source ids of every real row."""
    for batch in batches:
        real = batch.tgt_out_ids.numpy()[:, 0] != 0
        for row in batch.src_ids.numpy()[real]:
            yield tuple(row[row > 2].tolist())


def _texts(directory) -> set:
    source = data_sources.open_split(
        locations.locate(directory), "train", config.BatchConfig(), seed=1
    )
    return set(_rows(input_pipeline.batches(source, num_epochs=1)))


def test_weights_are_the_shares_of_an_epoch(directories):
    source = _open(directories, _config(directories, ":1", ":3"))
    small = _texts(directories[1])
    counts = collections.Counter(
        row in small for row in _rows(input_pipeline.batches(source, num_epochs=2))
    )
    assert counts.total() == pytest.approx(800, rel=0.05)
    assert counts[True] / counts.total() == pytest.approx(0.75, abs=0.03)


def test_without_weights_every_pair_comes_once(directories):
    source = _open(directories, _config(directories, "", ""))
    found = collections.Counter(_rows(input_pipeline.batches(source, num_epochs=1)))
    assert set(found) == _texts(directories[0]) | _texts(directories[1])
    assert source.plan.num_examples == found.total() == 400


def test_a_mixture_resumes_from_any_batch(directories):
    asked = _config(directories, ":2", ":1")
    source = _open(directories, asked)

    def ids(start):
        batches = input_pipeline.batches(source, start, num_epochs=2)
        return [batch.src_ids.numpy().tolist() for batch in batches]

    cursor = source.plan.settle(plan_lib.START)
    whole = ids(cursor)
    for index in range(0, len(whole), 3):
        assert ids(cursor) == whole[index:], f"from {cursor}"
        for _ in range(3):
            cursor = source.plan.advance(cursor)


def test_temperature_makes_shares_more_equal():
    sizes = [900, 100]
    shares = []
    for temperature in (1.0, 5.0, 1e9):
        rates = mixing.rates(sizes, sizes, temperature)
        shares.append(rates[1] * 100 / 1000)
    assert shares[0] == pytest.approx(0.1)
    assert 0.1 < shares[1] < 0.5
    assert shares[2] == pytest.approx(0.5, abs=1e-6)


def test_a_low_temperature_gives_all_to_the_largest():
    sizes = [900_000, 100_000]
    assert mixing.rates(sizes, sizes, 0.001) == [pytest.approx(10 / 9), 0]


def test_a_corpus_with_many_segmentations_weighs_no_more_in_the_boundaries(tmp_path):
    members = []
    for folder, samples, rate in ((tmp_path / "a", 0, 2.0), (tmp_path / "b", 3, 1.0)):
        made = locations.locate(str(small_data.make(folder, subword_samples=samples)))
        members.append(mixing.Corpus(made, manifest.read(made), rate))
    histogram, _ = data_sources._lengths(members, "train", config.BatchConfig())
    assert histogram[:, 2].sum() == pytest.approx(300 * 2.0 + 300 * 1.0)


def test_a_corpus_of_which_no_pair_would_come_is_refused(directories):
    asked = _config(directories, ":1", ":1000")
    asked = dataclasses.replace(asked, mix_temperature=0.1)
    with pytest.raises(exits.Refusal, match="--mix=.* too small beside") as error:
        mixing.corpora(locations.locate(directories[0]), asked)
    assert error.value.code == exits.USAGE


def test_a_mixture_is_for_training_and_other_splits_are_those_of_the_directory(
    directories,
):
    home = locations.locate(directories[0])
    asked = _config(directories, ":1", ":3")
    assert len(mixing.corpora_of(home, asked, "train")) == 2
    for split in ("valid", "test"):
        (alone,) = mixing.corpora_of(home, asked, split)
        assert (alone.directory, alone.rate) == (home, 1)
    assert (
        dataset.from_directory(directories[0], "valid", asked).source.plan.num_examples
        == 20
    )


@pytest.mark.parametrize("seed", range(20))
def test_an_epoch_has_as_many_examples_as_all_corpora(seed):
    draw = np.random.default_rng(seed)
    count = int(draw.integers(1, 6))
    sizes = draw.integers(1, 10_000, count).tolist()
    rates = mixing.rates(draw.uniform(0.1, 9, count).tolist(), sizes, 2.0)
    assert np.dot(rates, sizes) == pytest.approx(sum(sizes), rel=1e-6)


def test_a_directory_that_is_not_there_is_named_with_its_flag(data_dir, tmp_path):
    asked = config.BatchConfig(tokens_per_batch=512, mix=(f"{tmp_path}/none:1",))
    with pytest.raises(exits.Refusal, match="--mix=.*none: no such directory"):
        mixing.corpora(data_dir, asked)


def test_another_vocabulary_is_refused(directories, data_dir, tmp_path):
    """FAULTS 29."""
    other = small_data.make(tmp_path, count=90, seed=9)
    with pytest.raises(exits.Refusal, match="--mix=.*another vocabulary") as error:
        _open(directories, _config([directories[0], str(other)], ":1", ":1"))
    assert error.value.code == exits.MISMATCH


def test_what_is_read_is_part_of_the_identity(directories):
    home = locations.locate(directories[0])
    alone = mixing.corpora(home, config.BatchConfig())
    both = mixing.corpora(home, _config(directories, "", ""))
    assert mixing.identity(alone) == manifest.identity(manifest.read(home))
    assert mixing.identity(both) != mixing.identity(alone)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (("a:0",), "'0' is not a weight above 0"),
        (("a:x",), "'x' is not a weight above 0"),
        (("a:inf",), "'inf' is not a weight above 0"),
        (("a:1", "a:2"), "a comes twice"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(mix, message):
    with pytest.raises(ValueError, match=f"--mix.*{message}"):
        config.BatchConfig(mix=mix)


def test_weights_and_urls_are_told_apart():
    asked = config.BatchConfig(mix=("gs://b/x", "gs://b/y:2.5", "c"))
    assert asked.mix_weights == {"gs://b/x": None, "gs://b/y": 2.5, "c": None}
