import pytest

from trainers import optimizer_config, schedules


@pytest.mark.parametrize(
    ("step", "rate"), [(1, 7e-4 / 4000), (2000, 3.5e-4), (4000, 7e-4), (16_000, 3.5e-4)]
)
def test_inverse_sqrt_rises_linearly_and_falls_with_the_root(step, rate):
    found = schedules.inverse_sqrt(step, peak=7e-4, warmup_steps=4000)
    assert found == pytest.approx(rate)


def test_the_peak_of_the_paper_gives_the_rates_of_the_paper():
    """Vaswani et al. 2017, equation 3."""
    for step in (1, 100, 4000, 100_000):
        wanted = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        peak = (512 * 4000) ** -0.5
        found = schedules.inverse_sqrt(step, peak=peak, warmup_steps=4000)
        assert found == pytest.approx(wanted)


def test_without_warmup_the_first_step_has_the_peak():
    for schedule in config_names():
        settings = optimizer_config.ScheduleConfig(
            schedule=schedule, learning_rate=0.5, warmup_steps=0
        )
        assert schedules.make(settings, 100)(1) == pytest.approx(0.5, rel=0.02)


def config_names():
    return ("inverse_sqrt", "constant", "cosine", "linear", "plateau")


def test_a_constant_rate_stays_at_its_peak():
    rate = schedules.make(
        optimizer_config.ScheduleConfig(
            schedule="constant", learning_rate=0.1, warmup_steps=10
        ),
        100,
    )
    assert [rate(step) for step in (5, 10, 10_000)] == [0.05, 0.1, 0.1]


@pytest.mark.parametrize("schedule", [schedules.inverse_sqrt, schedules.constant])
def test_steps_count_from_1(schedule):
    with pytest.raises(ValueError, match="steps count from 1, got 0"):
        schedule(0, peak=1.0, warmup_steps=1)


@pytest.mark.parametrize("name", ["cosine", "linear"])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_falling_rates_end_where_they_should_and_never_rise_again(name, final):
    rate = schedules.make(
        optimizer_config.ScheduleConfig(
            schedule=name, learning_rate=0.1, warmup_steps=10, final_rate=final
        ),
        100,
    )
    rates = [rate(step) for step in range(1, 121)]
    assert rates[:10] == pytest.approx([0.01 * step for step in range(1, 11)])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[54] == pytest.approx(0.1 * (1 + final) / 2)  # half way
    assert rates[99] == rates[119] == pytest.approx(0.1 * final)
