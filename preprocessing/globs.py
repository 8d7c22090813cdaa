"""Globs of files: what they match, and whether those of two sides are pairs."""

import glob
import re
from collections.abc import Sequence

from pipeline import exits, locations


def matches(flag: str, pattern: str) -> list[locations.Location]:
    """Returns the files that a flag names, one or those of a glob, in order of name.

    Raises:
        exits.Refusal: If there is none, or one of them is no file.
    """
    found = [locations.locate(pattern)]
    if glob.has_magic(pattern) and not found[0].is_file():  # a name may hold brackets
        if isinstance(found[0], locations.RemotePath):
            found = list(found[0].parent.glob(found[0].name))
        else:
            names = sorted(glob.glob(pattern))  # noqa: PTH207 - absolute patterns too
            found = list(map(locations.locate, names))
    if not found:
        raise exits.Refusal(
            exits.MISSING_INPUT, f"--{flag}={pattern}: no file has such a name"
        )
    for path in found:
        if not path.is_file():
            what = _what_it_is(path)
            raise exits.Refusal(exits.MISSING_INPUT, f"--{flag}={path}: {what}")
    return found


def _what_it_is(path: locations.Location) -> str:
    if path.is_dir():
        return "is a directory"
    if isinstance(path, locations.RemotePath) or not path.exists():
        return "no such file"
    return (
        "is a pipe or a device, and a build reads its files more than once; write it "
        "to a file first"
    )


def check_pairs(
    split: str,
    patterns: tuple[str, str],
    found: tuple[Sequence[locations.Location], Sequence[locations.Location]],
) -> None:
    """Refuses files of two globs that are not of a pair: `p2.en` with `p3.de`.

    What the wildcards matched must be the same, or differ in every pair by the same
    letters, as where `en/*` is read with `de/*`.
    """
    pairs = list(zip(*found, strict=True))
    differing = []
    for pair in pairs:
        one, other = map(_matched, patterns, pair)
        if not one or len(one) != len(other):
            return  # no two globs, or of other wildcards
        differing.append(_difference("/".join(one), "/".join(other)))
    usual = differing[0] if len(set(differing)) == 1 else ("", "")
    for (src, tgt), difference in zip(pairs, differing, strict=True):
        if difference != usual or any(map(str.isdecimal, "".join(difference))):
            raise exits.Refusal(
                exits.BAD_DATA,
                f"--{split}_src={patterns[0]} and --{split}_tgt={patterns[1]}: {src} "
                f"would be read with {tgt}; add what is missing, or name the files one "
                "by one",
            )


def _matched(pattern: str, path: locations.Location) -> list[str]:
    """Returns what each wildcard of a glob matched.

    >>> _matched("p?.*.en", locations.locate("p1.a.en"))
    ['1', 'a']
    """
    parts = re.split(r"(\*+|\?|\[!?\]?[^\]]*\])", str(locations.locate(pattern)))
    regex = "".join(
        [
            ("([^/]*)" if part.startswith("*") else "([^/])")
            if index % 2
            else re.escape(part)
            for index, part in enumerate(parts)
        ]
    )
    match = re.fullmatch(regex, str(path), re.DOTALL)
    return list(match.groups()) if match else []


def _difference(one: str, other: str) -> tuple[str, str]:
    """Returns two texts without what both begin and end with.

    >>> _difference("news.en.gz", "news.de.gz")
    ('en', 'de')
    """
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return one, other
