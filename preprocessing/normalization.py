"""Rule files: normalisation that SentencePiece compiles into the model.

What is typed at `translate` is normalised as the training text was, because the rules
travel with the model. Besides SentencePiece's own rules these can be had, alone or
together:

    lowercase           Unicode's simple lowercase; folding case (_cf) also writes the
                        final form of sigma as the other one
    unescape_html       the named entities of HTML, and numeric ones up to U+2FFF
    remove_zero_width   joiners, marks, soft hyphens
    plain_punctuation   typographic quotes, dashes, dots and spaces become ASCII, in the
                        manner of Moses' punctuation normaliser

A rule file has a line a rule, code points in hexadecimal: `0041 0301<TAB>00E1`. The
longest rule that fits wins, and what it writes is not looked at again: so each rule
here writes what all options together make of its input.
"""

import html.entities
import unicodedata
from collections.abc import Callable, Iterator, Sequence

_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_LAST_NUMERIC_ENTITY = 0x2FFF

# What `nmt_nfkc` adds to NFKC: control characters vanish, invisible and exotic spaces
# become plain ones, the full-width tilde stays.
_REMOVED = (*range(0x01, 0x09), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F)
_SPACES = (
    0x09, 0x0A, 0x0C, 0x0D, 0x061C, 0x1680, 0x200B, 0x200C, 0x200E, 0x200F, 0x2028,
    0x2029, 0x2581, 0xFEFF, 0xFFFD,
)  # fmt: skip
_KEPT = (0xFF5E,)

_ZERO_WIDTH = (
    0x00AD, 0x180E, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF,
    *range(0x202A, 0x202F), *range(0x2066, 0x206A),
)  # fmt: skip
_PLAIN = {
    '"': "\u201c\u201d\u201e\u201f\u00ab\u00bb\u300c\u300d\u2033",
    "'": "\u2018\u2019\u201a\u201b\u2039\u203a\u0060\u00b4\u2032",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212",
    "...": "\u2026",
    " ": "\u00a0\u2002\u2003\u2009\u200a\u202f\u205f\u3000",
    ",": "\uff0c\u3001",
    ".": "\uff0e\u3002",
    ":": "\uff1a\u2236",
    ";": "\uff1b",
    "?": "\uff1f",
    "!": "\uff01",
    "(": "\uff08",
    ")": "\uff09",
    "%": "\uff05",
}
_PLAIN_OF = {
    character: plain for plain, characters in _PLAIN.items() for character in characters
}


def rules(normalization: str, options: Sequence[str]) -> str:
    """Returns a SentencePiece rule file, as text.

    Args:
        normalization: `nmt_nfkc`, `nmt_nfkc_cf`, `nfkc`, `nfkc_cf` or `none`.
        options: Any of those listed above.
    """
    table = dict(_character_rules(normalization, options))

    def normalized(text: str) -> str:
        return "".join(table.get(character, character) for character in text)

    if "unescape_html" in options:
        table |= {entity: normalized(text) for entity, text in _entities()}
    lines = (
        f"{_hex(source)}\t{_hex(target)}"
        for source, target in sorted(table.items())
        if source != target
    )
    return "".join(f"{line}\n" for line in lines)


def _character_rules(
    normalization: str, options: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yields what becomes of each character, later rules over earlier ones."""
    cased = _casing(normalization, options)
    for code in range(1, _LAST_CODE_POINT + 1):
        if code in _SURROGATES:
            continue
        character = chr(code)
        if normalization == "none":
            yield character, cased(character)
            continue
        target = cased(unicodedata.normalize("NFKC", character))
        yield character, target
        # What is written with combining marks becomes the same composed character.
        yield unicodedata.normalize("NFD", character), target
        yield unicodedata.normalize("NFKD", character), target
    if normalization.startswith("nmt_"):
        yield from ((chr(code), "") for code in _REMOVED)
        yield from ((chr(code), " ") for code in _SPACES)
        yield from ((chr(code), chr(code)) for code in _KEPT)
    if "plain_punctuation" in options:
        yield from _PLAIN_OF.items()
    if "remove_zero_width" in options:
        yield from ((chr(code), "") for code in _ZERO_WIDTH)


def _casing(normalization: str, options: Sequence[str]) -> Callable[[str], str]:
    if normalization.endswith("_cf"):
        return _folded
    return str.lower if "lowercase" in options else str


def _folded(text: str) -> str:
    """Returns Unicode's simple case folding, in which no text grows (ß stays)."""
    return "".join(
        next(
            (to for to in (one.casefold(), one.lower()) if len(to) == 1),
            one,
        )
        for one in text
    )


def _entities() -> Iterator[tuple[str, str]]:
    """Yields (entity, its text); numeric ones with decimal and hexadecimal digits."""
    for name, text in html.entities.html5.items():
        if name.endswith(";"):
            yield f"&{name}", text
    for code in range(0x20, _LAST_NUMERIC_ENTITY + 1):
        for entity in (f"&#{code};", f"&#x{code:x};", f"&#x{code:X};", f"&#0{code};"):
            yield entity, html.unescape(entity)


def _hex(text: str) -> str:
    return " ".join(f"{ord(character):04X}" for character in text)
