import json

import pytest

from tests.benchmarks import quality

TIMING = [
    {"step": 100, "wall_secs": 60.0},
    {"step": 200, "wall_secs": 130.0},
    {"step": 300, "wall_secs": 250.0},
]


def test_a_validation_has_ended_when_the_next_line_is_written():
    """One at 150, between two lines, has its next line too."""
    found = quality.end_secs(TIMING, (100, 150, 200, 300))
    assert found == {100: 130.0, 150: 130.0, 200: 250.0, 300: 250.0}


@pytest.mark.parametrize(
    ("limit", "step"), [(129.9, None), (130.0, 100), (249.0, 100), (1000.0, 200)]
)
def test_the_last_validation_before_a_time_stands_for_it(limit, step):
    metrics = [
        {"step": 100, "loss": 2.0},
        {"step": 100, "valid_bleu": 3.0},
        {"step": 200, "valid_bleu": 5.0},
        {"step": 300, "valid_loss": 1.0},
    ]
    scores = quality.validations(metrics, "valid_bleu")
    assert scores == {100: 3.0, 200: 5.0}
    ended = quality.end_secs(TIMING, scores)
    assert quality.last_before(limit, ended) == step


def test_a_run_that_was_stopped_is_not_over(tmp_path):
    path = tmp_path / "summary.json"
    assert not quality.is_over(path)
    for finished, over in (("preempted", False), ("steps", True)):
        path.write_text(json.dumps({"finished": finished}))
        assert quality.is_over(path) == over
