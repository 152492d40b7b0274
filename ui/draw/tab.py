"""The Draw page: a model paints on a drawing while it is drawn (canvas.js is the canvas, draw.js the page).

The model gets the drawing as a picture to start from, as lines for a control, or as both.
"""

import base64
import binascii
import hashlib
import re
from typing import Any

from core.files import LRU
from models import detectors, inputs
from models.request import ImageRequest
from models.strips import png
from models.upload import upload
from ui import menu, painting
from ui.desk import Desk
from ui.part import part
from ui.tab import Tab
from ui.wire import data_url, text, token

URL = re.compile(r"data:image/(?:png|webp|jpeg);base64,")
LONGEST = 240_000  # most characters of a drawing, within the guard's limit
PARTS = {"drawing": "image", "lines": "control"}  # the field of the request for each part that the page sends
PASSING: LRU[str, frozenset[str]] = LRU(256)  # the files of each page's last drawing
KEPT: LRU[str, bool] = LRU(100_000)  # drawings of pictures that were kept since the start


def build(desk: Desk) -> None:
    part("draw", "draw-part", [*desk.serve_painting(draw, lines, painting.large), *desk.serve(drawn_with)])


def drawn_with(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """The models that can start from a picture, and the detectors of lines, with what they lack here."""
    known = [{"name": n, "about": d.about, "missing": detectors.missing(n)} for n, d in detectors.DETECTORS.items()]
    return {"models": menu.compared(desk.place), "detectors": known}


def lines(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """A detector's map of a picture, to draw on: both are data URLs."""
    seen = upload(picture(text(data, "picture", LONGEST)))
    return {"lines": data_url(png(detectors.detect(seen, text(data, "detector", 40))), "image/png")}


def draw(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Paint on a drawing: its picture, its lines or both, each a data URL. Where `keep` puts its pictures into the
    gallery, the drawing stays in the studio's inputs/; else the page's next drawing replaces it."""
    request = data.get("request")
    if not isinstance(request, dict):
        raise ValueError("request must be an object")
    tab = token(data, "tab")
    parts = {name: picture(text(data, part, LONGEST)) for part, name in PARTS.items() if data.get(part)}
    if not parts:
        raise ValueError("draw something, then it is painted on")
    digests = {name: hashlib.sha256(drawing).hexdigest() for name, drawing in parts.items()}
    wanted = ImageRequest.from_dict(request | dict.fromkeys(PARTS.values(), "") | digests)
    pass_on(tab, {digests[name]: drawing for name, drawing in parts.items()}, kept=data.get("keep") is True)
    return painting.paint(desk, data | {"request": wanted.to_dict(), "first": 0, "count": wanted.num_images})


def pass_on(page: str, drawings: dict[str, bytes], kept: bool) -> None:
    """Store drawings, by digest, in inputs/. The page's earlier ones are removed, unless a kept picture needs them."""
    before = PASSING.get(page, frozenset())
    own = frozenset(digest for digest in drawings if digest in before or not inputs.there(digest))
    for digest in before - drawings.keys():
        if not KEPT.get(digest):
            inputs.forget(digest)
    for digest, drawing in drawings.items():
        inputs.keep(drawing)
        if kept:
            KEPT.put(digest, True)
    PASSING.put(page, own)


def picture(url: str) -> bytes:
    """The bytes of a drawing. Raises ValueError where it is no data URL of a picture."""
    start = URL.match(url)
    try:
        return base64.b64decode(url[start.end() :] if start else "-", validate=True)
    except binascii.Error:
        raise ValueError("the drawing must be a data URL of a PNG, WebP or JPEG") from None


TAB = Tab("Draw", "draw", build, scripts=("sketches", "canvas", "draw"), styles=("draw",), takes_words=True)
