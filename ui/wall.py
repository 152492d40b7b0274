"""The first wall: what a visitor sees before anything was painted, and the request that it shows.

`python -m ui.wall` paints it with the model of the box into assets/first_wall/, to be done when weights
change.
"""

import json
from typing import Any

from core.paths import assets
from models import catalogue, picture
from models.request import ImageRequest
from ui import menu
from ui.wire import data_url

FAVOURITE = "toybox-sprint"
PROMPT, SEED, NUM = "a red mushroom", 7, 9


def start() -> ImageRequest:
    """What the form shows at first: the shipped wall's request, else the same wish for a model that is here."""
    shipped = _shipped()
    if shipped is not None:
        return shipped
    rows = catalogue.menu()
    here = [r.id for r in rows if r.hub is None] or [r.id for r in rows]
    model = FAVOURITE if FAVOURITE in here else here[0]
    enlarge = menu.enlarge(catalogue.get(model))
    return ImageRequest(prompt=PROMPT, model=model, seed=SEED, num_images=NUM, enlarge=enlarge)


def first() -> dict[str, Any]:
    """The shipped wall as the page shows it; no pictures where none belongs to a model that is here."""
    request = _shipped()
    if request is None:
        return {"request": start().to_dict(), "pictures": []}
    pictures = []
    for k in range(request.num_images):
        png = (_home() / f"{k}.png").read_bytes()
        one = request.single(k).to_dict()
        size = {"width": request.width, "height": request.height}
        pictures.append(
            {"index": k, "src": data_url(png, "png"), "id": None, "favourite": False, "request": one} | size
        )
    return {"request": request.to_dict(), "pictures": pictures}


def _home():
    return assets() / "first_wall"


def _shipped() -> ImageRequest | None:
    path = _home() / "request.json"
    if not path.is_file():
        return None
    data = json.loads(path.read_text(encoding="utf-8"))
    known = catalogue.rows()
    return ImageRequest.from_dict(data) if data["model"] in known else None


def main() -> None:
    from models.engine import Engine
    from models.generate import Image

    _home().mkdir(parents=True, exist_ok=True)
    request = ImageRequest(prompt=PROMPT, model=FAVOURITE, seed=SEED, num_images=NUM)
    for event in Engine().generate(request):
        if isinstance(event, Image):
            png = picture.png_bytes(event.picture, request.single(event.index))
            (_home() / f"{event.index}.png").write_bytes(png)
    (_home() / "request.json").write_text(request.to_json() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
