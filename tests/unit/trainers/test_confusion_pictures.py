import numpy as np
import pytest

from trainers import confusion_pictures


@pytest.mark.parametrize("count", [2, 30])
def test_a_picture_is_there_whole_whatever_the_names(tmp_path, count):
    names = ["a$b", "_^{" * 20, *(f"class {k}" for k in range(count - 2))]
    confusions = np.eye(count, dtype=int) * 3
    confusions[0] = 0  # a class that no text has
    path = tmp_path / "confusions.png"
    confusion_pictures.draw(confusions, names, path, "valid: $0.5")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [one.name for one in tmp_path.iterdir()] == ["confusions.png"]
