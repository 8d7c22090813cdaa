"""Where several models are wrong: each, all of them, all in the same way.

    python -m tests.benchmarks.agreement --references=dev.tsv said_a said_b said_c \\
        --alike=AA,AE,AH,AO,AW,AY,EH,ER,EY,IH,IY,OW,OY,UH,UW

dev.tsv has a source, a tab and its references on each line, a bar between them; the
other files have what `trainers.translate --output` wrote of its sources. With --alike
it says how many of a model's errors are of these tokens alone. Last line of stdout:
one JSON object.
"""

import argparse
import gzip
import json
import pathlib
from collections.abc import Collection, Sequence


def main() -> None:
    """Reads, prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--references", required=True, type=pathlib.Path)
    parser.add_argument("--alike", default="", help="tokens, comma-separated")
    parser.add_argument("said", nargs="+", type=pathlib.Path)
    asked = parser.parse_args()
    known = [references(line) for line in _lines(asked.references)]
    said = [_lines(path) for path in asked.said]
    found = compared(said, known, frozenset(asked.alike.split(",")))
    count = len(known)
    for path, wrong, alike in zip(
        asked.said, found["wrong"], found["alike"], strict=True
    ):
        print(f"{path}: {wrong / count:.4f} wrong, {alike} of {wrong} of them alike")
    shares = (found[name] / count for name in ("all", "same"))
    print("{:.4f} wrong in all, {:.4f} in the same way".format(*shares))
    print(json.dumps({"examples": count, **found}))


def references(line: str) -> list[str]:
    """Returns what may be said of a source.

    >>> references("r e a d\\tR IY D | R EH D")
    ['R IY D', 'R EH D']
    """
    return [one.strip() for one in line.partition("\t")[2].split("|")]


def compared(
    said: Sequence[Sequence[str]],
    known: Sequence[Sequence[str]],
    alike: Collection[str],
) -> dict[str, list[int] | int]:
    """Returns how many are wrong.

    Args:
        said: Hypotheses of each model.
        known: References of each source.
        alike: Tokens.

    Returns:
        wrong: Of each model.
        alike: Of each model, wrong ones that differ from a reference by tokens of
            `alike` alone.
        all: Wrong in all models.
        same: Of these, those of which all models say the same.
    """
    wrong = [
        {row for row, one in enumerate(hypotheses) if one not in known[row]}
        for hypotheses in said
    ]
    of_tokens = [
        sum(
            any(_are_alike(hypotheses[row], one, alike) for one in known[row])
            for row in rows
        )
        for hypotheses, rows in zip(said, wrong, strict=True)
    ]
    of_all = set.intersection(*wrong)
    same = sum(len({hypotheses[row] for hypotheses in said}) == 1 for row in of_all)
    return {
        "wrong": list(map(len, wrong)),
        "alike": of_tokens,
        "all": len(of_all),
        "same": same,
    }


def _are_alike(one: str, other: str, alike: Collection[str]) -> bool:
    """Returns whether tokens differ only where both are of some."""
    left, right = one.split(), other.split()
    return len(left) == len(right) and all(
        a == b or {a, b} <= set(alike) for a, b in zip(left, right, strict=True)
    )


def _lines(path: pathlib.Path) -> list[str]:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    return content.decode().removesuffix("\n").split("\n")


if __name__ == "__main__":
    main()
