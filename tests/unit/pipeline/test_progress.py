import pytest

from pipeline import progress


@pytest.mark.parametrize(
    ("secs", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3661, "1 h 01 min")],
)
def test_durations_are_told_in_two_units(secs, text):
    assert progress.duration(secs) == text


def test_without_a_terminal_there_are_log_lines_with_rate_and_time_left(monkeypatch):
    lines = []
    monkeypatch.setattr(progress, "_LOG_EVERY_SECS", 0.0)
    monkeypatch.setattr(progress.logger, "info", lambda _, line: lines.append(line))
    with progress.Progress("reading", unit="rows", total=1000, done=400) as bar:
        bar.update(100, note="well")
    assert lines[0].startswith("reading: 500 of 1,000 rows, ")
    assert lines[0].endswith(" left; well")
