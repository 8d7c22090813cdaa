import html.parser

import hypothesis
from hypothesis import strategies

from trainers.reporting import markup


class _Texts(html.parser.HTMLParser):
    """Collects what a browser would show, and the elements."""

    def __init__(self):
        super().__init__()
        self.texts, self.tags, self.values = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [value for _, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def _read(page):
    reader = _Texts()
    reader.feed(page)
    reader.close()
    return reader


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(strategies.text(), strategies.text())
def test_a_text_is_shown_and_never_becomes_an_element(text, value):
    found = _read(markup.tag("p", text, title=value))
    assert found.tags == ["p"]
    assert "".join(found.texts) == markup.printable(text)
    assert found.values == [value.replace("\r\n", "\n")] or "\r" in value


def test_markup_inside_markup_stays_as_it_is():
    assert markup.tag("p", markup.tag("b", "a<b")) == "<p><b>a&lt;b</b></p>"


def test_lists_are_laid_out_and_none_is_nothing():
    assert markup.joined(["a", ["&", None]], 1) == "a&amp;1"


def test_control_characters_are_shown_as_missing():
    assert markup.printable("a\0b\x1b[0m\ud800") == "a\ufffdb\ufffd[0m\ufffd"
    assert markup.printable("a\u200db") == "a\u200db"  # joins emoji, and Indic letters


def test_a_table_scrolls_in_its_own_box():
    page = markup.table(["a", "b"], [["<", 1]])
    assert page.startswith('<div class="scroll"><table>')
    assert '<td>&lt;</td><td class="number">1</td>' in page
