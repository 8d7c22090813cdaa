"""Numbers in English and French words: a corpus made by rule, with no data file.

A model that has understood it is exactly right on numbers it never saw, which makes it
the corpus for tests of the whole system.

>>> english(1981), french(1981)
('one thousand nine hundred eighty-one', 'mille neuf cent quatre-vingt-un')
"""

from collections.abc import Iterator

LIMIT = 1_000_000

_EN_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
_EN_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_FR_UNITS = (
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze "
    "quinze seize dix-sept dix-huit dix-neuf"
).split()
_FR_TENS = "_ _ vingt trente quarante cinquante soixante _ quatre-vingt _".split()


def english(number: int) -> str:
    """Returns a number below a million in American English words.

    Raises:
        ValueError: If the number is not in [0, 1000000).
    """
    _check(number)
    if number < 20:
        return _EN_UNITS[number]
    if number < 100:
        tens, units = divmod(number, 10)
        return _EN_TENS[tens] + (f"-{_EN_UNITS[units]}" if units else "")
    size, word = (1000, "thousand") if number >= 1000 else (100, "hundred")
    many, rest = divmod(number, size)
    return f"{english(many)} {word}" + (f" {english(rest)}" if rest else "")


def french(number: int) -> str:
    """Returns a number below a million in French words, spelling of before 1990.

    Raises:
        ValueError: If the number is not in [0, 1000000).
    """
    _check(number)
    if number < 1000:
        return _french_below_1000(number, final=True)
    thousands, rest = divmod(number, 1000)
    # "mille" takes no "un" before it and no plural; "cents" and "vingts" lose their s.
    many = "" if thousands == 1 else _french_below_1000(thousands, final=False) + " "
    tail = f" {_french_below_1000(rest, final=True)}" if rest else ""
    return f"{many}mille{tail}"


def pairs(count: int) -> Iterator[tuple[str, str]]:
    """Yields `count` different pairs, English and French, spread over all lengths.

    A third each has up to 2, 4 and 6 digits or as many as there are, so that short
    numbers, of which there are few, are seen too.
    """
    # An odd step that shares no factor with a power of ten visits every number once.
    visited = 0
    seen: set[int] = set()
    for index in range(LIMIT):
        for digits, step in ((100, 37), (10_000, 7_919), (LIMIT, 618_033)):
            number = index * step % digits
            if number in seen:
                continue
            seen.add(number)
            yield english(number), french(number)
            visited += 1
            if visited == count:
                return


def _check(number: int) -> None:
    if not 0 <= number < LIMIT:
        raise ValueError(f"numbers are in [0, {LIMIT}), got {number}")


def _french_below_1000(number: int, *, final: bool) -> str:
    """Returns a number below 1000; `final` when nothing follows, not even "mille"."""
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _french_below_100(rest, final=final)
    many = "" if hundreds == 1 else f"{_FR_UNITS[hundreds]} "
    if not rest:
        return f"{many}cent" + ("s" if hundreds > 1 and final else "")
    return f"{many}cent {_french_below_100(rest, final=final)}"


def _french_below_100(number: int, *, final: bool) -> str:
    if number < 20:
        return _FR_UNITS[number]
    tens, units = divmod(number, 10)
    if tens in (7, 9):  # sixty-ten, four-twenties-ten
        tens, units = tens - 1, units + 10
    word = _FR_TENS[tens]
    if not units:
        return word + ("s" if tens == 8 and final else "")
    if units in (1, 11) and tens != 8:
        return f"{word} et {_FR_UNITS[units]}"
    return f"{word}-{_FR_UNITS[units]}"
