"""What the first sentence of each source scores as its summary: the lead-1 baseline.

    python -m tests.benchmarks.lead --data_dir=D                  of the test split

A sentence ends after a full stop, an exclamation or a question mark with white space
behind it. The last line of stdout is one JSON object.
"""

import argparse
import json
import re

from pipeline import runtime

runtime.start()

from pipeline import locations, manifest  # noqa: E402 - TensorFlow's chatter comes first
from trainers import evaluation, rouge  # noqa: E402

_END = re.compile(r"(?<=[.!?])\s")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    asked = parser.parse_args()
    data_dir = locations.locate(asked.data_dir)
    examples = evaluation.of_split(data_dir, manifest.read(data_dir), asked.split)
    found = rouge.means(
        [first_sentence(text) for text in examples.sources], examples.references
    )
    for kind in rouge.KINDS:
        print(f"  {kind:8}{found[kind]:8.2f}")
    print(json.dumps({"lead": found, "examples": len(examples.sources)}))


def first_sentence(text: str) -> str:
    """Returns the first sentence of a text, or all of it."""
    return _END.split(text, maxsplit=1)[0]


if __name__ == "__main__":
    main()
