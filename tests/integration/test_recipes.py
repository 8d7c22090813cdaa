"""Every block of code in recipes/ is run, in order, on made-up files, for a few steps.

A block of `text` is shown and not run: it needs a cluster, or Docker.
"""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from tests import programs, small_data, small_labels

# A recipe that begins with what another one made comes after it.
BEFORE = {
    "fine-tune-to-a-domain": ["translate-your-own-tsv"],
    "pipeline-for-a-keras-model": ["translate-your-own-tsv"],
    "slurm": ["translate-your-own-tsv"],
    "serve-with-ctranslate2": ["translate-your-own-tsv"],
}
RECIPES = sorted(path.stem for path in (programs.ROOT / "recipes").glob("*.md"))
_SHORTER = {
    r"--num_steps=\d+": "--num_steps=12",
    r"--eval_every_steps=\d+": "--eval_every_steps=6",
    r"--vocab_size=\d+": "--vocab_size=100",
    r"--d_model=\d+": "--d_model=16",
    r"--num_layers=\d+": "--num_layers=1",
    r"--tokens_per_batch=\d+": "--tokens_per_batch=512",
    r"--warmup_steps=\d+": "--warmup_steps=4",
    r"(--(valid|test)_fraction)=0\.01": r"\1=0.1",
    r"-m trainers\.seq2seq": (
        "-m trainers.seq2seq --num_heads=2 --d_ff=24 --save_every_steps=2"
    ),
    r"-- trainers\.seq2seq": "-- trainers.seq2seq --num_heads=2 --d_ff=24",
    r"\.venv/bin/python": sys.executable,
}
_NOT_INSTALLED = "has no module|make setup-extras"


def _write_files(folder: pathlib.Path) -> None:
    """Writes what the recipes say a user has."""
    pairs = small_data.pairs(300)
    for name, some in (("mine", pairs), ("domain", small_data.pairs(80, seed=5))):
        lines = [f"{src}\t{tgt}\n" for src, tgt in some]
        (folder / f"{name}.tsv").write_text("".join(lines))
    (folder / "words.tsv").write_text(
        "".join(
            f"{''.join(src.split())}\t{' '.join(tgt)}\n" for src, tgt in _words(pairs)
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


def _words(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(src, "".join(tgt.split())) for src, tgt in pairs]


def _blocks(recipe: str) -> list[tuple[str, str]]:
    text = (programs.ROOT / "recipes" / f"{recipe}.md").read_text(encoding="utf-8")
    return re.findall(r"```(bash|python|text)\n(.*?)```", text, re.DOTALL)


def _run(kind: str, code: str, folder: pathlib.Path) -> None:
    for pattern, shorter in _SHORTER.items():
        code = re.sub(pattern, shorter, code)
    command = ["bash", "-ec", code] if kind == "bash" else [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if re.search(_NOT_INSTALLED, done.stderr):
        pytest.skip(done.stderr.strip().split("\n")[-1])
    assert done.returncode == 0, f"{code}\n{done.stderr}"


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """Returns a folder like a checkout, in which a recipe's predecessors were run."""
    made: dict[tuple[str, ...], pathlib.Path] = {}

    def folder(before: tuple[str, ...]) -> pathlib.Path:
        if before not in made:
            path = made[before] = tmp_path_factory.mktemp("kitchen")
            for package in ("flags", "pipeline", "preprocessing", "trainers", "jobs"):
                (path / package).symlink_to(programs.ROOT / package)
            _write_files(path)
            for recipe in before:
                for kind, code in _blocks(recipe):
                    if kind != "text":
                        _run(kind, code, path)
        return made[before]

    return folder


@pytest.mark.long
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_block_of_a_recipe_runs(recipe, kitchen):
    folder = kitchen(tuple(BEFORE.get(recipe, [])))
    blocks = [(kind, code) for kind, code in _blocks(recipe) if kind != "text"]
    assert blocks
    for kind, code in blocks:
        _run(kind, code, folder)


def test_recipes_have_the_length_of_a_page():
    assert len(RECIPES) >= 9
    for recipe in RECIPES:
        path = programs.ROOT / "recipes" / f"{recipe}.md"
        lines = path.read_text(encoding="utf-8").split("\n")
        assert 20 <= len(lines) <= 60, recipe
        assert all(len(line) <= 88 or "|" in line for line in lines), recipe
