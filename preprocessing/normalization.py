"""The rule file that lowercases inside SentencePiece.

SentencePiece's own `nmt_nfkc_cf` folds case, which is not lowercasing: it writes ß as
ss, so that a German hypothesis could never match its reference. The rules made here are
those of `nmt_nfkc`, `nfkc` or no normalisation, each followed by Unicode's simple
lowercase. They are compiled into the model, so what is typed at `translate` is
normalised as the training text was.

A rule file has a line a rule, code points in hexadecimal: `0041 0301<TAB>00E1`.
"""

import unicodedata
from collections.abc import Iterator

_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)

# What `nmt_nfkc` adds to NFKC: control characters vanish, invisible and exotic spaces
# become plain ones, the full-width tilde stays.
_REMOVED = (*range(0x01, 0x09), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F)
_SPACES = (
    0x09, 0x0A, 0x0C, 0x0D, 0x061C, 0x1680, 0x200B, 0x200C, 0x200E, 0x200F, 0x2028,
    0x2029, 0x2581, 0xFEFF, 0xFFFD,
)  # fmt: skip
_KEPT = (0xFF5E,)


def lowercase_rules(normalization: str) -> str:
    """Returns a SentencePiece rule file, as text.

    Args:
        normalization: `nmt_nfkc`, `nfkc` or `none`: what happens besides lowercasing.
    """
    rules = dict(_rules(normalization))
    lines = (
        f"{_hex(source)}\t{_hex(target)}"
        for source, target in sorted(rules.items())
        if source != target
    )
    return "".join(f"{line}\n" for line in lines)


def _rules(normalization: str) -> Iterator[tuple[str, str]]:
    for code in range(1, _LAST_CODE_POINT + 1):
        if code in _SURROGATES:
            continue
        character = chr(code)
        if normalization == "none":
            yield character, character.lower()
            continue
        target = unicodedata.normalize("NFKC", character).lower()
        yield character, target
        # What is written with combining marks becomes the same composed character.
        for form in ("NFD", "NFKD"):
            yield unicodedata.normalize(form, character), target
    if normalization == "nmt_nfkc":
        yield from ((chr(code), "") for code in _REMOVED)
        yield from ((chr(code), " ") for code in _SPACES)
        yield from ((chr(code), chr(code)) for code in _KEPT)


def _hex(text: str) -> str:
    return " ".join(f"{ord(character):04X}" for character in text)
