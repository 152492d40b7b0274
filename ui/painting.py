"""The server functions of every page that paints: pictures of a request, and stopping."""

import io
from typing import Any

from PIL.Image import Image as Picture

from models import enlarge, picture
from models.prompt import notes
from models.request import ImageRequest
from ui.desk import Desk
from ui.turns import http
from ui.wire import data_url, number, token

SMALL = 256  # pixels on a side up to which a picture is sent as PNG; larger ones are sent as JPEG


def paint(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Paint `count` pictures of a request, from number `first` on; `keep` also adds them to the gallery, enlarged."""
    request = ImageRequest.from_dict(data.get("request"))
    first = number(data, "first", 0, request.num_images - 1)
    count = number(data, "count", 1, request.num_images - first)
    tab, ticket = token(data, "tab"), number(data, "ticket", 0, 2**31)
    done, spent = [], {}
    for event in desk.painted(request.as_painted().some(first, count), tab, ticket):
        one = request.single(first + event.index)
        desk.recent.put(one.as_painted().to_json(), event.picture)
        id = desk.keep(one, desk.enlarged(one, event.picture), data) if data.get("keep") is True else None
        done.append(_shown(one, event.picture, id) | {"index": first + event.index, "text": event.text})
        done[-1] |= {} if event.route is None else {"route": event.route}
        spent = {k: round(getattr(event, k), 2) for k in ("text_ms", "denoise_ms", "decode_ms")}
    if len(done) < count:
        return {"stopped": True}
    return {"pictures": done, **spent}


def large(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """One picture at the size of its request."""
    request = ImageRequest.from_dict(data.get("request"))
    if reason := enlarge.missing(request.enlarger):
        raise ValueError(reason)
    shown = _shown(request, desk.picture(request, data), None)
    return {key: shown[key] for key in ("src", "width", "height")}


def stop(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Stop the requests of this page up to a ticket: between two steps, or while they wait."""
    desk.turns.stop(token(data, "tab"), number(data, "ticket", 0, 2**31))
    return {}


def where(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """One sentence on what this page waits for; and the picture so far, where that takes many steps."""
    sentence, look = desk.turns.where(token(data, "tab"))
    return {"sentence": sentence} | ({} if look is None else {"look": _jpeg(look)})


def generate(desk: Desk, fields: dict[str, Any], caller: str) -> list[dict[str, Any]]:
    """The endpoint /generate: all pictures of a request, as long as the caller stays connected."""
    request = ImageRequest.from_dict(fields)
    comments, out = [note.sentence for note in notes(request.prompt)], []
    for event in desk.painted(request, http(caller), desk.turns.ticket()):
        one = request.single(event.index)
        facts = {k: getattr(event, k) for k in ("seed", "steps", "calls", "route", "text")}
        png = picture.png_bytes(event.picture, one)
        out.append({"picture": data_url(png, "png"), "request": one.to_dict(), **facts})
        out[-1] |= {"notes": comments, "latency_ms": round(event.latency_ms, 2)}
    return out


def _shown(request: ImageRequest, painted: Picture, id: str | None) -> dict[str, Any]:
    """A picture for the wall."""
    if max(painted.size) <= SMALL:
        src = data_url(picture.png_bytes(painted, request, level=1), "png")
    else:
        src = _jpeg(painted)
    size = {"width": painted.width, "height": painted.height}
    return {"src": src, "id": id, "favourite": False, "request": request.to_dict(), **size}


def _jpeg(shown: Picture) -> str:
    out = io.BytesIO()
    shown.convert("RGB").save(out, "JPEG", quality=92, subsampling=0)
    return data_url(out.getvalue(), "jpeg")
