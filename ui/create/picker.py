"""What can be typed: everything that the box was trained on, by groups, with a small picture of each (picker.js).

`python -m ui.create.picker` paints the pictures with the models of the box into assets/picker/, one sheet a group, to
be done when weights or the vocabulary change. The names are the toys' kinds and the emoji's; one is left out of the
picker of a model that doesn't know its words.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any

from core.paths import assets
from models import catalogue
from models.law import KIND_WORDS
from models.request import ImageRequest
from ui.desk import Desk
from ui.wire import data_url, text

SIDE, COLUMNS = 48, 20  # pixels of a picture, and pictures in a row of a sheet
COLOURS = ("red", "yellow", "blue", "green", "orange", "purple")
PLAIN = re.compile(r"^(?:an? |the )?(?P<name>.+?)(?: (?:on|against) an? [\w ]+)?$", re.IGNORECASE)


@functools.cache
def groups() -> dict[str, list[str]]:
    """Names by group, in the order of their pictures."""
    return json.loads((_home() / "index.json").read_text(encoding="utf-8"))


def picker(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Names that a model knows, by group, each with its place in the group's sheet."""
    id = text(data, "model", 200)
    catalogue.get(id)
    known = desk.turns.engine.words(id)
    if known.known is None:
        return {"groups": {}}
    able = {group: [[i, n] for i, n in enumerate(names) if not known.unknown(n)] for group, names in groups().items()}
    return {"groups": {group: names for group, names in able.items() if names}, "side": SIDE, "columns": COLUMNS}


def sheet(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """The pictures of one group."""
    group = text(data, "group", 40)
    if group not in groups():
        raise ValueError(f"group must be one of {', '.join(groups())}")
    return {"src": data_url((_home() / f"{group}.webp").read_bytes(), "webp")}


def drawn_once(prompt: str) -> str | None:
    """The emoji that a prompt asks for and nothing else; a model was shown one drawing of each."""
    match = PLAIN.match(prompt.strip())
    name = match["name"].lower() if match else ""
    return name if name in _emoji() else None


@functools.cache
def _emoji() -> frozenset[str]:
    return frozenset(name for group, names in groups().items() if group != "toys" for name in names) - set(_toys())


def _toys() -> list[str]:
    return [one for words in KIND_WORDS.values() for one, _ in words[:1]]


def _home() -> Path:
    return assets() / "picker"


def main() -> None:
    from PIL import Image as Pictures

    from distill.data.emoji import read_rows
    from distill.data.emoji_fetch import home
    from distill.data.emoji_words import plain_name
    from models.engine import Engine
    from models.generate import Image
    from ui.wall import FAVOURITE, STEPS

    engine, made = Engine("cpu"), {"toys": sorted(set(_toys()))}
    for group in ("nature", "foods", "smileys", "people", "activity", "places", "objects", "signs"):
        rows = read_rows(home(), (group,))
        made[group] = list(dict.fromkeys(plain_name(row["name"]) for row in rows))
    known = engine.words(FAVOURITE)
    toys = made["toys"]
    for group in [group for group in made if group != "toys"]:
        made[group] = [name for name in made[group] if not known.unknown(name) and name not in toys]
    _home().mkdir(parents=True, exist_ok=True)
    for group, names in made.items():
        page = Pictures.new("RGB", (COLUMNS * SIDE, -(-len(names) // COLUMNS) * SIDE), "white")
        for i, name in enumerate(names):
            prompt = f"a {COLOURS[i % len(COLOURS)]} {name}" if group == "toys" else name  # a toy of no colour is pale
            request = ImageRequest(prompt, model=FAVOURITE, steps=STEPS, seed=7)
            event = next(e for e in engine.generate(request) if isinstance(e, Image))
            small = event.picture.resize((SIDE, SIDE), Pictures.Resampling.LANCZOS)
            page.paste(small, (i % COLUMNS * SIDE, i // COLUMNS * SIDE))
        page.save(_home() / f"{group}.webp", quality=72, method=6)
        print(f"{group}: {len(names)}")
    (_home() / "index.json").write_text(json.dumps(made, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
