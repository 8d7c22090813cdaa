import random

import numpy as np
import pytest

from trainers import comparison

SETTINGS = {"lowercase": False, "tokenize": "13a"}
NAMES = ("bleu", "chrf", "ter", "exact_match", "token_error_rate")


def _spoiled(lines: list[str], share: float, seed: int) -> list[str]:
    """Returns the lines with some of their words replaced."""
    draw = random.Random(seed)
    return [
        " ".join("xyz" if draw.random() < share else word for word in line.split())
        for line in lines
    ]


@pytest.fixture(scope="module")
def references() -> list[list[str]]:
    draw = random.Random(1)
    words = [f"w{number}" for number in range(50)]
    return [[" ".join(draw.choices(words, k=draw.randint(4, 20)))] for _ in range(120)]


@pytest.fixture(scope="module")
def systems(references) -> list[list[str]]:
    right = [many[0] for many in references]
    shares = (0.1, 0.3, 0.3)
    return [_spoiled(right, share, seed) for seed, share in enumerate(shares)]


def test_a_better_system_is_better_by_more_than_chance(references, systems):
    found = comparison.against(
        systems[0], systems[1], references, draws=200, **SETTINGS
    )
    assert set(found) == set(NAMES)
    for name in NAMES:
        assert found[name]["p_value"] < 0.05
        lower_is_better = name in ("ter", "token_error_rate")
        assert (found[name]["difference"] < 0) == lower_is_better


def test_equally_good_systems_differ_by_chance(references, systems):
    found = comparison.against(
        systems[1], systems[2], references, draws=200, **SETTINGS
    )
    assert min(found[name]["p_value"] for name in NAMES) > 0.05


def test_a_system_does_not_differ_from_itself(references, systems):
    found = comparison.against(
        systems[1], systems[1], references, draws=100, **SETTINGS
    )
    assert {found[name]["p_value"] for name in NAMES} == {1.0}


def test_intervals_shrink_with_the_root_of_the_examples(references, systems):
    few = comparison.intervals(systems[1][:30], references[:30], draws=400, **SETTINGS)
    many = comparison.intervals(systems[1], references, draws=400, **SETTINGS)
    for name in ("bleu", "chrf", "ter", "token_error_rate"):
        assert 1.3 < few[f"{name}_ci"] / many[f"{name}_ci"] < 3.0


def test_the_interval_of_a_share_is_that_of_its_standard_error():
    count = 400
    hypotheses = ["a" if row % 4 else "b" for row in range(count)]
    found = comparison.intervals(hypotheses, [["a"]] * count, draws=2000, **SETTINGS)
    assert found["exact_match"] == 0.75
    wanted = 1.96 * np.sqrt(0.75 * 0.25 / count)
    assert found["exact_match_ci"] == pytest.approx(wanted, rel=0.1)


def test_without_draws_there_are_scores_alone(references, systems):
    found = comparison.intervals(systems[0], references, draws=0, **SETTINGS)
    assert set(NAMES) <= found.keys()
    assert not any(name.endswith("_ci") for name in found)


@pytest.mark.parametrize(
    ("hypotheses", "references"),
    [
        (["", "", "", "a b c d"], ["a b c d"] * 4),
        (["x", "x", "x", "a b c d e"], ["a b c d e"] * 4),
        (["", "a b", "", "a b"], ["", "", "", "a b"]),
    ],
)
def test_a_draw_may_have_nothing_in_common_with_its_references(hypotheses, references):
    found = comparison.intervals(
        hypotheses, [[one] for one in references], draws=300, **SETTINGS
    )
    for name in NAMES:
        assert np.isfinite(found[f"{name}_ci"])
    assert found["chrf_ci"] > 0
    assert "bs:300" in found["chrf_signature"]


def test_ter_counts_edits_and_shifts():
    # One word of four replaced; one block of two shifted over four words.
    found = comparison.intervals(
        ["a b x d", "c d a b"], [["a b c d"], ["a b c d"]], draws=0, **SETTINGS
    )
    assert found["ter"] == pytest.approx(100 * 2 / 8)
    assert found["ter_signature"].startswith("nrefs:1|case:mixed|tok:tercom")
