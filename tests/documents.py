"""What README and the recipes show, run as it stands there but for a few steps.

A block of `text` is shown and not run: it needs a cluster, or Docker.
"""

import json
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests import programs, small_data, small_labels, small_runs

_SMALL_RUN = " ".join(
    (
        *small_runs.SIZES,
        *("--warmup_steps=4", "--num_steps=12"),
        *("--eval_every_steps=6", "--save_every_steps=2", "--log_every_steps=4"),
    )
)
_TRAINERS = r"trainers\.(seq2seq|seq2vec)\b[^\n#]*"
_SHORTER = {
    rf"((?:-m|--) {_TRAINERS})": rf"\1 {_SMALL_RUN} ",
    r"--vocab_size=\d+": "--vocab_size=100",
    r"(--(valid|test)_fraction)=0\.01": r"\1=0.1",
    r"--trials=\d+": "--trials=1",
    r"make translate CHECKPOINTS=average:3": (
        ".venv/bin/python -m trainers.translate --workdir=runs/quickstart/work "
        "--checkpoints=average:3"
    ),
    r"\.venv/bin/python": sys.executable,
}
_NOT_INSTALLED = "has no module|make setup-extras"


class Block(NamedTuple):
    """A fenced block of a document.

    Attributes:
        kind: What stands behind the fence: bash, console, python or text.
        code: What stands in it; of a console, what was typed.
    """

    kind: str
    code: str


def blocks(path: pathlib.Path) -> list[Block]:
    """Returns the fenced blocks of a document that are to be run, in order."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    kinds = {kind for kind, _ in found}
    assert kinds <= {"bash", "console", "python", "text"}, f"{path}: {kinds}"
    return [
        Block(kind, _typed(code) if kind == "console" else code)
        for kind, code in found
        if kind != "text"
    ]


def _typed(console: str) -> str:
    """Returns the commands of a console, without what they said."""
    commands = re.findall(r"^\$ ((?:.*\\\n)*.*\n)", console, re.MULTILINE)
    assert commands
    return "".join(commands)


def shortened(block: Block) -> str:
    """Returns the code of a block, for a small model and a few steps."""
    code = block.code
    if block.kind != "python":
        code = re.sub(r" *\\\n *", " ", code)
    for pattern, shorter in _SHORTER.items():
        code = re.sub(pattern, shorter, code)
    return code


def command(block: Block) -> list[str]:
    """Returns the command line that runs a block."""
    if block.kind == "python":
        return [sys.executable, "-c", shortened(block)]
    return ["bash", "-ec", shortened(block)]


def run(block: Block, folder: pathlib.Path) -> str:
    """Runs a block to its end and returns stdout; skips where extras are missing."""
    done = subprocess.run(
        command(block), cwd=folder, capture_output=True, text=True, check=False
    )
    if re.search(_NOT_INSTALLED, done.stderr):
        pytest.skip(done.stderr.strip().split("\n")[-1])
    assert done.returncode == 0, f"{block.code}\n{done.stderr}"
    return done.stdout


def checkout(folder: pathlib.Path) -> pathlib.Path:
    """Makes a folder look like a checkout and puts into it what a reader has."""
    for package in ("flags", "pipeline", "preprocessing", "trainers", "tests", "jobs"):
        (folder / package).symlink_to(programs.ROOT / package)
    pairs = small_data.pairs(300)
    for name, some in (("mine", pairs), ("domain", small_data.pairs(80, seed=5))):
        lines = [f"{src}\t{tgt}\n" for src, tgt in some]
        (folder / f"{name}.tsv").write_text("".join(lines))
    (folder / "words.tsv").write_text(
        "".join(
            f"{''.join(src.split())}\t{tgt.replace(' ', '')}\n" for src, tgt in pairs
        )
    )
    for split, some in (("train", pairs), ("val", pairs[:20])):
        for side, name in enumerate(("src", "tgt")):
            text = "".join(f"{pair[side]}\n" for pair in some)
            (folder / f"{name}-{split}.txt").write_text(text)
    mails = ["subject,body,team\n"]
    for text, label in small_labels.texts(200):
        mails.append(f'hello,"{text}, thanks\n",{small_labels.CLASSES[label]}\n')
    (folder / "mails.csv").write_text("".join(mails))
    (folder / "articles.jsonl").write_text(
        "".join(
            json.dumps({"source": f"{src} {src}", "target": [tgt, src]}) + "\n"
            for src, tgt in pairs
        )
    )
    return folder
