import pytest

from tests.benchmarks import lead


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One. Two.", "One."),
        ("Is it 3.5 or 4? Four.", "Is it 3.5 or 4?"),
        ("No end", "No end"),
        ("", ""),
    ],
)
def test_the_first_sentence_ends_before_white_space(text, first):
    assert lead.first_sentence(text) == first
