"""What README shows is run as it stands there, for a few steps."""

import gzip
import json
import pathlib
import re
import socket
import subprocess
import time

import pytest
import tensorflow as tf

from tests import documents, programs, small_data, small_labels

README = programs.ROOT / "README.md"
# The first has the commands of the tour, the second runs this.
_MAKE = "make quickstart\nmake test\n"


def _write_corpus(folder: pathlib.Path) -> None:
    (folder / "corpus").mkdir()
    for side, name in enumerate(("en", "de")):
        text = "".join(f"{pair[side]}\n" for pair in small_data.pairs(300))
        path = folder / "corpus" / f"news.{name}.gz"
        path.write_bytes(gzip.compress(text.encode()))


def _write_questions(folder: pathlib.Path) -> None:
    (folder / "trec").mkdir()
    for name, count in (("train_5500.label", 240), ("TREC_10.label", 20)):
        lines = [
            f"{small_labels.CLASSES[label]}:any {text}\n"
            for text, label in small_labels.texts(count)
        ]
        (folder / "trec" / name).write_text("".join(lines))


def _write_old_checkpoint(folder: pathlib.Path) -> None:
    """Writes one as OpenNMT-tf does, of which nothing but an embedding is known."""
    pieces = ["\u2581" + word for word in "ba be bi bo bu da de di".split()]
    for side in ("src", "tgt"):
        (folder / f"{side}.vocab").write_text("\n".join(pieces) + "\n")
    root: tf.Variable | tf.train.Checkpoint = tf.Variable(tf.ones([len(pieces), 16]))
    for name in ("embedding", "labels_inputter", "examples_inputter", "model"):
        root = tf.train.Checkpoint(**{name: root})
    (folder / "old").mkdir()
    root.write(str(folder / "old" / "ckpt-100000"))


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _ask_the_server(
    serve: documents.Block, ask: documents.Block, folder: pathlib.Path
) -> None:
    """Runs the block that serves until the one that asks was answered."""
    port = _free_port()
    serve = serve._replace(code=f"{serve.code.rstrip()} --port={port}\n")
    ask = ask._replace(code=ask.code.replace("8000", str(port)))
    *shell, code = documents.command(serve)
    with subprocess.Popen([*shell, f"exec {code}"], cwd=folder) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        try:
            answer = json.loads(documents.run(ask, folder))
        finally:
            process.terminate()
    assert process.returncode == 0
    assert answer["hypotheses"]


def test_every_block_says_how_it_is_run():
    text = README.read_text(encoding="utf-8")
    assert "```\n\n```" not in text
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(
        r"^    (?=[$.]|make|echo|python|curl).*", outside, re.MULTILINE
    )
    assert not indented
    assert documents.Block("bash", _MAKE) in documents.blocks(README)


def test_the_python_of_the_readme_runs(data_dir):
    blocks = [block for block in documents.blocks(README) if block.kind == "python"]
    assert blocks
    for block in blocks:
        assert '"runs/quickstart/data"' in block.code
        code = block.code.replace('"runs/quickstart/data"', repr(str(data_dir)))
        assert "loss" in documents.run(block._replace(code=code), programs.ROOT)


@pytest.mark.long
def test_every_command_of_the_readme_runs(tmp_path):
    folder = documents.checkout(tmp_path)
    _write_corpus(folder)
    _write_questions(folder)
    _write_old_checkpoint(folder)
    serve = None
    blocks = documents.blocks(README)
    for block in blocks:
        if block.kind == "python" or block.code == _MAKE:
            continue
        if "trainers.serve" in block.code:
            serve = block
        elif block.code.startswith("curl"):
            assert serve is not None
            _ask_the_server(serve, block, folder)
        else:
            documents.run(block, folder)
    assert serve is not None
    for name in ("runs/quickstart/work", "work/mine", "work/from_old", "work/both"):
        summary = json.loads((folder / name / "summary.json").read_text())
        assert summary["step"] == 12, name
