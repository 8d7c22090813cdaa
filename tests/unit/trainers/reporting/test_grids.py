import re

import numpy as np

from trainers.reporting import grids


def test_each_share_is_a_cell_and_nearly_nothing_is_none():
    shares = np.array([[1.0, 0.25, 0.0], [0.001, 0.5, 2.0]])
    page = grids.draw(["a", "b"], ["x", "y", "z"], shares)
    assert re.findall(r'fill-opacity="([\d.]+)"', page) == [
        *("1.000", "0.250", "0.500", "1.000")
    ]
    assert "<title>b / y: 0.500</title>" in page


def test_numbers_are_written_light_on_dark_cells():
    shares = np.array([[0.9, 0.1], [0.0, 0.0]])
    page = grids.draw(
        ["a", "b"], ["a", "b"], shares, numbers=np.array([[9, 1], [0, 0]])
    )
    assert re.findall(r'class="dark">(\d+)<', page) == ["9"]
    assert ">1</text>" in page
    assert ">0</text>" not in page


def test_names_are_escaped_and_cut_where_they_are_long():
    page = grids.draw(["<i>"], ["y" * 99], np.ones((1, 1)))
    assert "&lt;i&gt;</text>" in page
    assert f"{'y' * 23}…</text>" in page


def test_cells_lie_below_and_right_of_the_names():
    page = grids.draw(["long name"], ["長い名前"], np.ones((1, 1)))
    x, y, width, height = map(
        float,
        re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', page)[0],
    )
    assert x > 9 * 6
    assert y > 4 * 10
    (size,) = re.findall(r'<svg width="(\d+)" height="(\d+)"', page)
    assert x + width <= float(size[0])
    assert y + height <= float(size[1])
