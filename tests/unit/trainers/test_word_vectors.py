import numpy as np
import pytest

from pipeline import exits
from trainers import word_vectors


@pytest.mark.parametrize("head", ["", "3 2\n"])
def test_both_formats_are_read(tmp_path, head):
    path = tmp_path / "vectors.txt"
    path.write_text(f"{head}haus 1 2\nbaum -0.5 1e-1\nweg 3 4\n", encoding="utf-8")
    found = word_vectors.read(path, {"haus", "baum", "nichts"})
    assert sorted(found) == ["baum", "haus"]
    np.testing.assert_allclose(found["baum"], [-0.5, 0.1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 2\nb 1\n", ":2: has 1 numbers, not 2"),
        ("a 1 x\n", ":1: has what is no"),
        ("ab\n", ":1: has a word and no numbers"),
    ],
)
def test_other_files_are_refused_by_line(tmp_path, text, message):
    path = tmp_path / "vectors.txt"
    path.write_text(text)
    with pytest.raises(exits.Refusal, match=message):
        word_vectors.read(path, {"a"})


def test_a_word_may_have_blanks_in_it(tmp_path):
    """As GloVe's largest table has: ". . ." and "at name@domain.com"."""
    path = tmp_path / "vectors.txt"
    path.write_text("a 1 2\n. . . 3 4\nb 5 6\n")
    found = word_vectors.read(path, {". . .", "."})
    assert {word: row.tolist() for word, row in found.items()} == {". . .": [3, 4]}


def test_a_file_that_is_not_there_is_missing_input(tmp_path):
    with pytest.raises(exits.Refusal) as error:
        word_vectors.read(tmp_path / "none.txt", set())
    assert error.value.code == exits.MISSING_INPUT


def test_a_subword_that_begins_a_word_is_that_word():
    assert word_vectors.word_of("\u2581haus") == "haus"
    assert word_vectors.word_of("haus") == "haus"
    assert word_vectors.word_of("\u2581") == "\u2581"
