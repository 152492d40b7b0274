"""The server functions for pictures of the wall and of the gallery: keep, find, enlarge, compare, download."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL.Image import Image as Picture
from PIL.Image import Resampling

from models import picture
from models.request import ImageRequest, text_of
from models.restore import Restored
from ui import scratch
from ui.desk import Desk
from ui.gallery import Item, file_name
from ui.wire import counted, data_url, number, text

ARCHIVE = "still-life-pictures.zip"
ARCHIVE_SECONDS = 3600  # time for which a ZIP stays on the disk


def gallery_page(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """The newest pictures of the gallery that match, 48 at a time. `before`: the last id of the page before."""
    before = data.get("before")
    items, total = desk.gallery.search(
        desk.owner(data),
        text(data, "text", 200),
        data.get("favourites") is True,
        text(data, "before", 100) if before is not None else None,
    )
    return {"pictures": [_listed(item) for item in items], "total": total}


def favourite(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Mark a picture as a favourite, or unmark it. It is kept first, where it wasn't yet."""
    id = data.get("id")
    if id is None:
        request = ImageRequest.from_dict(data.get("request"))
        id = desk.keep(request, desk.picture(request, data), data)
    desk.gallery.favourite(text({"id": id}, "id", 100), data.get("on") is True, desk.owner(data))
    return {"id": id}


def remove(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    desk.gallery.delete(text(data, "id", 100), desk.owner(data))
    return {}


def full(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """A picture at its full size."""
    png, _ = desk.png(data)
    return {"src": data_url(png, "png")}


def download(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """A PNG with its request inside. With `scale` > 1 it is resized, and a note inside says so."""
    scale = number(data, "scale", 1, 8)
    png, fields = desk.png(data)
    name = file_name(fields)
    if scale == 1:
        return {"src": data_url(png, "png"), "name": f"{name}.png"}
    large, *sizes = picture.enlarged(png, scale)
    size = {key: f"{w} × {h}" for key, (w, h) in zip(("from", "to"), sizes, strict=True)}
    return {"src": data_url(large, "png"), "name": f"{name}-resized-{scale}x.png", **size}


def pair(desk: Desk, a: Any, b: Any, data: dict[str, Any]) -> list[tuple[Picture, str]]:
    """Two pictures for a comparison, each with its title. The smaller one is smoothly enlarged to the other's size."""
    both = []
    for which in (a, b):
        if not isinstance(which, dict):
            raise ValueError("a comparison takes two pictures")
        png, r = desk.png({k: which.get(k) for k in ("id", "request")} | {"owner": data.get("owner")})
        title = f"{text_of(r)}, {r['model']}, {counted(r['steps'], 'step')}, seed {r['seed']}"
        both.append((picture.open_png(png).convert("RGB"), title))
    size = max((p.size for p, _ in both), key=lambda s: s[0])
    return [(p if p.size == size else p.resize(size, Resampling.LANCZOS), title) for p, title in both]


def archive(desk: Desk, data: dict[str, Any]) -> Path:
    """A ZIP of every picture that the gallery shows, in a folder from which gradio serves files."""
    for old in scratch.folder().glob(f"*/{ARCHIVE}"):
        if time.time() - old.stat().st_mtime > ARCHIVE_SECONDS:
            old.unlink()
    target = scratch.fresh() / ARCHIVE
    desk.gallery.zip(target, desk.owner(data), text(data, "text", 200), data.get("favourites") is True)
    return target


def carried(desk: Desk, path: str) -> Restored:
    """The request in an uploaded picture. Where it branches from a step that is not here, that step is painted
    again."""
    restored = picture.read(Path(path))
    if not restored.descent or not restored.fields["start"]:
        return restored
    from models.regrow import here, regrown

    if here(restored.request):
        return restored
    for id in {str(one.get("model")) for one in restored.descent}:
        desk.refuse(id)
    request, exact = regrown(restored.request, restored.descent, desk.turns.engine.crew)
    note = "The step that it starts from was painted again" + (
        ", bit for bit." if exact else ", and is not quite what it was."
    )
    return replace(restored, fields=request.to_dict(), notes=(*restored.notes, note))


def _listed(item: Item) -> dict[str, Any]:
    facts = {k: getattr(item, k) for k in ("id", "request", "width", "height", "favourite")}
    return facts | {"text": text_of(item.request), "src": data_url(item.thumb, "webp")}
