import math
import re

from trainers.reporting import charts


def test_a_line_goes_through_its_points_and_leaves_out_what_is_not_finite():
    points = [(0, 1.0), (1, math.nan), (2, 3.0), (3, math.inf), (4, 2.0)]
    page = charts.lines("Loss", [charts.Series("a", points)])
    (path,) = re.findall(r'<path d="(M[^"]+)"', page)
    places = [tuple(map(float, one.split())) for one in re.split("[ML]", path)[1:]]
    assert [x for x, _ in places] == [44.0, 197.0, 350.0]
    (_, first), (_, second), (_, third) = places
    assert second < third < first  # y grows downwards


def test_nothing_to_draw_is_no_chart():
    assert charts.lines("a", [charts.Series("a", [])]) is None
    assert charts.lines("a", [charts.Series("a", [(1, math.nan)])]) is None
    assert charts.histogram("a", [math.nan], x_label="ms") is None


def test_everything_lies_within_the_picture():
    points = [(step, 1e6 * (-1) ** step) for step in range(1000)]
    page = charts.lines("a", [charts.Series("a", points, is_marked=True)])
    xs = [float(x) for x in re.findall(r'(?:cx|x1|x2)="([-0-9.]+)"', page)]
    ys = [float(y) for y in re.findall(r'(?:cy|y1|y2)="([-0-9.]+)"', page)]
    assert min(xs) >= 0
    assert max(xs) <= 360
    assert min(ys) >= 0
    assert max(ys) <= 200


def test_a_thinned_line_keeps_its_peak_and_stays_in_order():
    points = [(step, float(step == 777)) for step in range(10_000)]
    kept = charts.thinned(points, 100)
    assert (777, 1.0) in kept
    assert len(kept) <= 200
    assert kept == sorted(kept)


def test_a_histogram_counts_every_value_once():
    values = [*range(100), 10_000]  # the last one lies beyond the axis
    page = charts.histogram("a", values, x_label="ms", num_bins=10)
    counts = [int(one) for one in re.findall(r": (\d+)</title>", page)]
    assert sum(counts) == 101
    assert counts == [10] * 9 + [11]


def test_names_of_lines_are_escaped():
    page = charts.lines(
        "<t>", [charts.Series("<a>", [(0, 1)]), charts.Series("<b>", [(0, 2)])]
    )
    assert "<t>" not in page
    assert "<a>" not in page
    assert "<b>: " not in page
    assert {"&lt;t&gt;", "&lt;a&gt;", "&lt;b&gt;"} <= set(re.findall("&lt;.&gt;", page))
