import pytest

from preprocessing import number_words


@pytest.mark.parametrize(
    ("number", "english", "french"),
    [
        (0, "zero", "zéro"),
        (16, "sixteen", "seize"),
        (17, "seventeen", "dix-sept"),
        (21, "twenty-one", "vingt et un"),
        (22, "twenty-two", "vingt-deux"),
        (70, "seventy", "soixante-dix"),
        (71, "seventy-one", "soixante et onze"),
        (77, "seventy-seven", "soixante-dix-sept"),
        (80, "eighty", "quatre-vingts"),
        (81, "eighty-one", "quatre-vingt-un"),
        (91, "ninety-one", "quatre-vingt-onze"),
        (100, "one hundred", "cent"),
        (101, "one hundred one", "cent un"),
        (200, "two hundred", "deux cents"),
        (280, "two hundred eighty", "deux cent quatre-vingts"),
        (283, "two hundred eighty-three", "deux cent quatre-vingt-trois"),
        (1000, "one thousand", "mille"),
        (2000, "two thousand", "deux mille"),
        (80_000, "eighty thousand", "quatre-vingt mille"),
        (200_000, "two hundred thousand", "deux cent mille"),
        (200_200, "two hundred thousand two hundred", "deux cent mille deux cents"),
        (
            999_999,
            "nine hundred ninety-nine thousand nine hundred ninety-nine",
            "neuf cent quatre-vingt-dix-neuf mille neuf cent quatre-vingt-dix-neuf",
        ),
    ],
)
def test_numbers_are_spelled_as_grammars_have_them(number, english, french):
    assert number_words.english(number) == english
    assert number_words.french(number) == french


@pytest.mark.parametrize("number", [-1, number_words.LIMIT])
def test_other_numbers_are_refused(number):
    with pytest.raises(ValueError, match=str(number)):
        number_words.english(number)
    with pytest.raises(ValueError, match=str(number)):
        number_words.french(number)


def test_pairs_are_different_and_as_many_as_asked():
    pairs = list(number_words.pairs(5000))
    assert len({src for src, _ in pairs}) == len({tgt for _, tgt in pairs}) == 5000


def test_all_short_numbers_are_among_the_pairs():
    sources = {src for src, _ in number_words.pairs(5000)}
    assert {number_words.english(number) for number in range(100)} <= sources
