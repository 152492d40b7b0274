"""Draw: a canvas whose drawing a model paints on while it is made (canvas.js is the canvas, draw.js the page).

A drawing reaches the model as a picture to begin with, as lines that a control follows, or as both.
"""

import base64
import binascii
import hashlib
import re
from typing import Any

from core.files import LRU
from models import inputs
from models.request import ImageRequest
from ui import menu, painting
from ui.desk import Desk
from ui.part import part
from ui.tab import Tab
from ui.wire import text, token

URL = re.compile(r"data:image/(?:png|webp|jpeg);base64,")
LONGEST = 240_000  # characters of a drawing: what the guard lets through
PARTS = {"drawing": "image", "lines": "control"}  # what the page sends, by the field of the request that names it
PASSING: LRU[str, str] = LRU(256)  # by page and field: the file that its last drawing made, which nothing refers to yet
KEPT: LRU[str, bool] = LRU(100_000)  # drawings of pictures that were kept since the start


def build(desk: Desk) -> None:
    part("draw", "draw-part", [*desk.serve_painting(draw), *desk.serve(drawn_with)])


def drawn_with(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """The models that can paint on a drawing."""
    return {"models": menu.compared(desk.place)}


def draw(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Paint on a drawing: its picture, its lines or both, each a data URL. They stay in the studio's inputs/ where
    `keep` puts their pictures into the gallery; else the page's next drawing takes their place."""
    request = data.get("request")
    if not isinstance(request, dict):
        raise ValueError("request must be an object")
    tab = token(data, "tab")
    parts = {name: picture(text(data, part, LONGEST)) for part, name in PARTS.items() if data.get(part)}
    if not parts:
        raise ValueError("draw something, then it is painted on")
    digests = {name: hashlib.sha256(drawing).hexdigest() for name, drawing in parts.items()}
    wanted = ImageRequest.from_dict(request | dict.fromkeys(PARTS.values(), "") | digests)
    for name in PARTS.values():
        pass_on(f"{tab} {name}", parts.get(name), digests.get(name, ""), kept=data.get("keep") is True)
    return painting.paint(desk, data | {"request": wanted.to_dict(), "first": 0, "count": wanted.num_images})


def pass_on(page: str, drawing: bytes | None, digest: str, kept: bool) -> None:
    """Keep a drawing in inputs/. The one before it of this page and field goes, unless a kept picture needs it."""
    before, new = PASSING.get(page, ""), drawing is not None and not inputs.there(digest)
    if before and before != digest and not KEPT.get(before):
        inputs.forget(before)
    if drawing is not None:
        inputs.keep(drawing)
    if kept and drawing is not None:
        KEPT.put(digest, True)
    PASSING.put(page, digest if new or before == digest else "")


def picture(url: str) -> bytes:
    """Raises ValueError for what is no data URL of a picture."""
    start = URL.match(url)
    try:
        return base64.b64decode(url[start.end() :] if start else "-", validate=True)
    except binascii.Error:
        raise ValueError("the drawing must be a data URL of a PNG, WebP or JPEG") from None


TAB = Tab("Draw", "draw", build, scripts=("sketches", "canvas", "draw"), styles=("draw",), takes_words=True)
