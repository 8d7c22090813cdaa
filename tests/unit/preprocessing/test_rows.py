import re
import time

from hypothesis import given
from hypothesis import strategies as st

from preprocessing import rows


@given(st.text("a \t\r\n\x0c\x1c\x85\u2028\u3000", max_size=20))
def test_breaks_of_a_line_and_the_blanks_around_them_are_one_space(text):
    breaks = r"\s*[\r\n]\s*"
    expected = re.sub(breaks, " ", text).strip() if re.search(breaks, text) else text
    assert rows.one_line(text) == expected


def test_a_text_of_blanks_takes_no_time():
    """Looking for a break after each of them took their number squared: 6 s."""
    begin = time.process_time()
    assert rows.one_line(" " * 32_000) == " " * 32_000
    assert rows.one_line(" " * 32_000 + "a\nb") == "a b"
    assert time.process_time() - begin < 1
