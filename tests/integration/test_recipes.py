"""Every block of code in recipes/ is run, in order, on made-up files, a few steps."""

import pathlib

import pytest

from tests import documents, programs

# A recipe that begins with what another one made comes after it.
BEFORE = {
    "fine-tune-to-a-domain": ["translate-your-own-tsv"],
    "pipeline-for-a-keras-model": ["translate-your-own-tsv"],
    "slurm": ["translate-your-own-tsv"],
    "serve-with-ctranslate2": ["translate-your-own-tsv"],
}
RECIPES = sorted(path.stem for path in (programs.ROOT / "recipes").glob("*.md"))


def _blocks(recipe: str) -> list[documents.Block]:
    return documents.blocks(programs.ROOT / "recipes" / f"{recipe}.md")


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """Returns a folder like a checkout, in which a recipe's predecessors were run."""
    made: dict[tuple[str, ...], pathlib.Path] = {}

    def folder(before: tuple[str, ...]) -> pathlib.Path:
        if before not in made:
            path = documents.checkout(tmp_path_factory.mktemp("kitchen"))
            made[before] = path
            for recipe in before:
                for block in _blocks(recipe):
                    documents.run(block, path)
        return made[before]

    return folder


@pytest.mark.long
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_block_of_a_recipe_runs(recipe, kitchen):
    folder = kitchen(tuple(BEFORE.get(recipe, [])))
    assert _blocks(recipe)
    for block in _blocks(recipe):
        documents.run(block, folder)


def test_recipes_have_the_length_of_a_page():
    assert len(RECIPES) >= 9
    for recipe in RECIPES:
        path = programs.ROOT / "recipes" / f"{recipe}.md"
        lines = path.read_text(encoding="utf-8").split("\n")
        assert 20 <= len(lines) <= 60, recipe
        assert [line for line in lines if len(line) > 88 and "|" not in line] == []
