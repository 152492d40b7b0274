"""The first wall: the pictures that a visitor sees before painting, and the request that the form shows with them.

`python -m ui.wall` paints it with the models of the box into assets/first_wall/; run it when weights change. It has
nine different things, as examples of prompts. The form has the first of them. The same command paints a sample of each
model for the menu: one prompt and seed, so that they can be compared.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL.Image import Image as Picture
from PIL.Image import Resampling

from core.paths import assets
from models import catalogue
from models.enlarge import MOST
from models.request import ImageRequest
from ui import menu
from ui.wire import data_url

if TYPE_CHECKING:
    from models.engine import Engine

FAVOURITE, STEPS = "toybox-hyper", 2  # by the README's table and by looking: near its teacher, in 62 ms a picture
SHOWN = (  # prompts that it paints well, each with a chosen seed
    ("a red mushroom", 7),
    ("a fox", 9),
    ("a birthday cake", 7),
    ("an owl", 8),
    ("a sunflower", 8),
    ("a frog on a pink background", 7),
    ("a unicorn", 7),
    ("a doughnut on a blue background", 7),
    ("a strawberry", 8),
)
FILE = "requests.json"
SAMPLE, SIDE = ("a red mushroom", 7), 96  # what the menu shows of each model, and its pixels there


def start() -> ImageRequest:
    """The form's first request: the first of the shipped wall, else the same with a model that is here."""
    if shipped := _shipped():
        return dataclasses.replace(shipped[0], num_images=len(shipped))
    rows = catalogue.menu()
    model = ([r for r in rows if r.hub is None] or rows)[0]
    return ImageRequest(
        SHOWN[0][0], model=model.id, seed=SHOWN[0][1], num_images=len(SHOWN), enlarge=menu.enlarge(model)
    )


def first() -> dict[str, Any]:
    """The shipped wall for the page; without pictures where their models are not here."""
    pictures = []
    for k, one in enumerate(_shipped()):
        src = data_url((_home() / f"{k}.webp").read_bytes(), "webp")
        size = {"width": one.width * one.enlarge, "height": one.height * one.enlarge}
        shown = {"index": k, "src": src, "id": None, "favourite": False, "label": one.prompt}
        pictures.append(shown | {"request": one.to_dict()} | size)
    return {"request": start().to_dict(), "pictures": pictures}


def sample(id: str) -> str | None:
    """A model's picture for the menu, as a data URL; None where it has none."""
    path = _samples() / f"{id}.webp"
    return data_url(path.read_bytes(), "webp") if path.is_file() else None


def _samples() -> Path:
    return _home() / "samples"


def _home() -> Path:
    return assets() / "first_wall"


def _shipped() -> list[ImageRequest]:
    """The requests of the shipped pictures; empty where one of their models is not here."""
    path = _home() / FILE
    data = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    known = catalogue.rows()
    return [ImageRequest.from_dict(one) for one in data] if all(one["model"] in known for one in data) else []


def main() -> None:
    from models.engine import Engine

    engine = Engine("cpu")
    paint_wall(engine)
    paint_samples(engine)


def paint_wall(engine: "Engine") -> None:
    _home().mkdir(parents=True, exist_ok=True)
    made = [ImageRequest(p, model=FAVOURITE, steps=STEPS, seed=seed, enlarge=MOST) for p, seed in SHOWN]
    for k, request in enumerate(made):
        _painted(engine, request).save(_home() / f"{k}.webp", quality=88, method=6)
    (_home() / FILE).write_text(json.dumps([one.to_dict() for one in made], indent=0) + "\n", encoding="utf-8")


def paint_samples(engine: "Engine") -> None:
    """Of every model of the box that paints; in two steps where it takes them, as some of one step are torn."""
    _samples().mkdir(parents=True, exist_ok=True)
    prompt, seed = SAMPLE
    for row in catalogue.menu():
        if row.folder is not None and row.folder.is_relative_to(assets()):
            steps = 2 if 2 in row.manifest.step_counts else row.manifest.default_steps
            picture = _painted(engine, ImageRequest(prompt, model=row.id, seed=seed, steps=steps))
            small = picture.resize((SIDE, SIDE), Resampling.LANCZOS)
            small.save(_samples() / f"{row.id}.webp", quality=80, method=6)


def _painted(engine: "Engine", request: ImageRequest) -> Picture:
    from models.generate import Image

    return next(event.picture for event in engine.generate(request) if isinstance(event, Image))


if __name__ == "__main__":
    main()
