"""Draw: a canvas whose drawing a model paints on while it is made (canvas.js is the canvas, draw.js the page)."""

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
PASSING: LRU[str, str] = LRU(256)  # by page: the file that its last drawing made, which nothing refers to yet
KEPT: LRU[str, bool] = LRU(100_000)  # drawings of pictures that were kept since the start


def build(desk: Desk) -> None:
    part("draw", "draw-part", [*desk.serve_painting(draw), *desk.serve(drawn_with)])


def drawn_with(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """The models that can paint on a drawing."""
    return {"models": menu.compared(desk.place)}


def draw(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Paint on a drawing, a data URL. It stays in the studio's inputs/ where `keep` puts its pictures into the gallery;
    else the page's next one takes its place."""
    request = data.get("request")
    if not isinstance(request, dict):
        raise ValueError("request must be an object")
    tab, drawing = token(data, "tab"), picture(text(data, "drawing", LONGEST))
    digest = hashlib.sha256(drawing).hexdigest()
    asked = ImageRequest.from_dict(request | {"image": digest})
    before, new = PASSING.get(tab, ""), not inputs.there(digest)
    if before and before != digest and not KEPT.get(before):
        inputs.forget(before)
    inputs.keep(drawing)
    if data.get("keep") is True:
        KEPT.put(digest, True)
    PASSING.put(tab, digest if new or before == digest else "")
    return painting.paint(desk, data | {"request": asked.to_dict(), "first": 0, "count": asked.num_images})


def picture(url: str) -> bytes:
    """Raises ValueError for what is no data URL of a picture."""
    start = URL.match(url)
    try:
        return base64.b64decode(url[start.end() :] if start else "-", validate=True)
    except binascii.Error:
        raise ValueError("the drawing must be a data URL of a PNG, WebP or JPEG") from None


TAB = Tab("Draw", "draw", build, scripts=("sketches", "canvas", "draw"), styles=("draw",), takes_words=True)
