import pytest

from trainers.reporting import collecting, promises

_SUMMARY = {
    "step": 20,
    "wall_secs": 100.0,
    "train_step_traces": 1,
    "num_resumes": 2,
    "input_wait_fraction": 0.01,
    "skipped_nonfinite_steps": 0,
    "dropped_too_long": 3,
}


def _run(summary=None, steps=(10, 20)):
    return collecting.Run(
        workdir=None,
        name="a",
        flags={},
        summary={**_SUMMARY, **(summary or {})},
        training=[{"step": step, "learning_rate": 0.1} for step in steps],
        validations=[],
        timing=[],
        samples={},
        evaluations={},
        confusions={},
        start=[],
    )


def _kept(run):
    found = promises.check(run, "no data", None)
    return {one.said.split(" ")[1]: one.is_kept for one in found}


def test_a_good_run_keeps_its_promises():
    assert False not in _kept(_run()).values()


def test_a_run_too_short_to_say_is_not_judged_by_its_waiting():
    assert _kept(_run({"input_wait_fraction": 0.4, "wall_secs": 5.0}))["step"] is None


def test_figures_that_a_resumed_run_has_left_behind_say_of_which_steps_they_are():
    measured = [one.measured for one in promises.check(_run(steps=(10, 30)), "", None)]
    assert "resumed 2 times, up to step 20" in measured
    assert measured[-1] == "2 logged"  # of the log, which is not behind
    ended = [one.measured for one in promises.check(_run(), "", None)]
    assert "resumed 2 times" in ended


@pytest.mark.parametrize(
    ("summary", "steps", "broken"),
    [
        ({"train_step_traces": 2}, (10, 20), "training"),
        ({"input_wait_fraction": 0.4}, (10, 20), "step"),
        ({}, (10, 20, 20), "log"),
    ],
)
def test_a_broken_promise_is_shown_as_such(summary, steps, broken):
    kept = _kept(_run(summary, steps))
    assert [name for name, value in kept.items() if value is False] == [broken]
