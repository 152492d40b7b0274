"""The first wall: the pictures that a visitor sees before painting, and the request that the form shows with them.

`python -m ui.wall` paints it with the models of the box into assets/first_wall/; run it when weights change. It has
nine different things, as examples of prompts. The form has the first of them.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from core.paths import assets
from models import catalogue
from models.enlarge import MOST
from models.request import ImageRequest
from ui import menu
from ui.wire import data_url

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
    from models.generate import Image

    _home().mkdir(parents=True, exist_ok=True)
    engine, made = Engine("cpu"), []
    for k, (prompt, seed) in enumerate(SHOWN):
        made.append(ImageRequest(prompt, model=FAVOURITE, steps=STEPS, seed=seed, enlarge=MOST))
        for event in engine.generate(made[-1]):
            if isinstance(event, Image):
                event.picture.save(_home() / f"{k}.webp", quality=88, method=6)
    (_home() / FILE).write_text(json.dumps([one.to_dict() for one in made], indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
