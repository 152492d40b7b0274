"""The lines of a card, run as they stand in plain diffusers, paint the picture that is painted here."""

import re

import numpy as np
import pytest

from core.paths import assets
from distill.card import renewed
from models import catalogue, families, recipe
from models.export import main
from models.generate import Image, generate
from models.request import ImageRequest
from tests import tiny

STUDIO = [tiny.build, tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")

MODELS = ["tiny-sprint", "tiny-hyper", "tiny-cfg"]


@pytest.fixture(scope="module")
def exported(studio, tmp_path_factory):
    """The folder that `models.export` writes of an id, once."""
    home, made = tmp_path_factory.mktemp("exported"), {}

    def folder(id: str):
        if id not in made:
            assert main([id, str(home / id)]) == 0
            made[id] = home / id
        return made[id]

    return folder


def blocks(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, re.S)


def followed(card: str, places: dict[str, object]) -> list[np.ndarray]:
    """The pictures of a card's lines, with what stands for folders in its texts in place."""
    names, out = {}, []
    loading, *paintings = blocks(card)
    for name, place in places.items():
        loading = loading.replace(f'"{name}"', repr(str(place)))
    exec(loading, names)
    names["pipe"].set_progress_bar_config(disable=True)
    for lines in paintings:
        exec(lines, names)
        out.append(np.asarray(names["image"], dtype=int))
    return out


def ours(id: str) -> list[np.ndarray]:
    row, out = catalogue.get(id), []
    parts = families.load(row)
    for steps in recipe.counts(row):
        request = ImageRequest(recipe.PROMPT, model=id, seed=recipe.SEED, steps=steps)
        out += [np.asarray(e.picture, dtype=int) for e in generate(parts, request) if isinstance(e, Image)]
    return out


@pytest.mark.parametrize("id", MODELS)
def test_the_lines_of_a_card_paint_the_same_pictures(studio, exported, id):
    row = catalogue.get(id)
    lora = row.manifest.kind == "lora"
    places = {"BASE": exported(row.manifest.base), id: row.folder} if lora else {"FOLDER": exported(id)}
    theirs, mine = followed(recipe.section(row), places), ours(id)
    assert len(theirs) == len(mine) == len(recipe.counts(row))
    for a, b in zip(theirs, mine, strict=True):
        assert np.abs(a - b).max() <= 1 and b.std() > 5


BOX = [row.id for row in catalogue.menu() if row.folder is not None and row.folder.parent == assets() / "weights"]


@pytest.mark.parametrize("id", BOX)
def test_a_card_of_the_box_has_the_lines_of_today(id):
    """`python -m distill.card` writes them."""
    row = catalogue.get(id)
    text = (row.folder / "README.md").read_text(encoding="utf-8")
    assert recipe.section(row) in text and renewed(text, recipe.section(row)) == text


@pytest.mark.slow
@pytest.mark.parametrize("id", [id for id in BOX if not catalogue.get(id).routed])
def test_the_lines_of_a_card_of_the_box_paint_what_the_box_paints(exported, id):
    row = catalogue.get(id)
    places = {"BASE": exported(row.manifest.base), id: row.folder} if row.manifest.kind == "lora" else {}
    card = (row.folder / "README.md").read_text(encoding="utf-8")
    theirs = followed(card, places or {"FOLDER": exported(id)})
    for steps, a, b in zip(recipe.counts(row), theirs, ours(id), strict=True):
        assert np.abs(a - b).max() <= 1 and b.std() > 5, steps


@pytest.mark.parametrize("id", ["tiny-hyper"])
def test_so_do_those_of_an_export(exported, id):
    theirs = followed((exported(id) / "README.md").read_text(), {".": exported(id)})
    for a, b in zip(theirs, ours(id), strict=True):
        assert np.abs(a - b).max() <= 1
