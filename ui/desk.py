"""The desk between the page and the models: every function that the page's scripts or the HTTP endpoints
may call.

Nothing here belongs to one visitor but what carries their token: `owner` (a browser, on a Space) and `tab`
(an open page). Answers are plain JSON; a mistake is `{"error": one sentence}`. Models are loaded when they
are first needed.
"""

import io
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from PIL.Image import Image as Picture
from PIL.Image import Resampling

from core.paths import studio
from models import catalogue, picture
from models.request import ImageRequest
from ui import menu, wall
from ui.gallery import Gallery, Item, file_name
from ui.jobs.desk import JobsDesk
from ui.place import Place
from ui.recent import Recent
from ui.turns import Turns
from ui.wire import answers, data_url, number, text, token

if TYPE_CHECKING:
    from models.generate import Image

MOST_PAINTING = 32  # calls that paint or wait to; more are refused, so that looking and stopping stay possible
SMALL = 256  # pixels on a side up to which a picture travels as the PNG that a download would give
PAINTS = ("paint", "favourite", "download", "full", "words")
TRIES, WILD = 4, "a {red|teal} rocket"  # examples under the prompt, and one that shows what braces do
ARCHIVE_SECONDS = 3600  # for which a ZIP that was asked for stays on the disk
SPACE_KEEPS = 2000  # pictures of all visitors together


class Desk:
    """`device`, `attention`: as models.engine takes them."""

    def __init__(self, place: Place, device: str = "auto", attention: str = "auto"):
        self.place = place
        self.gallery = Gallery(studio(), _request_of, SPACE_KEEPS if place.shared else None)
        self.turns = Turns(device, attention)
        self.recent = Recent()
        self.jobs = JobsDesk(place)
        self._archives = tempfile.TemporaryDirectory(prefix="still-life-")
        self.limiter = anyio.CapacityLimiter(MOST_PAINTING)
        self._warming = threading.Thread(target=self._warm, daemon=True)

    def warm(self) -> None:
        """Load what the first visitor will need while the server starts."""
        self._warming.start()

    def not_warm(self) -> str | None:
        """One sentence while the first visitor would have to wait for a model."""
        return f"{wall.start().model} is being loaded" if self._warming.is_alive() else None

    def _warm(self) -> None:
        request = wall.start()
        if catalogue.available(catalogue.get(request.model)) is not None:
            return
        try:
            for _ in self.turns.paint(replace(request, num_images=1), "warm", 0):
                pass
        except ValueError as e:
            print(f"{request.model}: {e}", file=sys.stderr)

    def functions(self, *names: str) -> list[Callable[[Any], dict[str, Any]]]:
        """Server functions of the page by name."""
        out = [answers(getattr(self, name)) for name in names]
        for f, name in zip(out, names, strict=True):
            f.__name__ = name
        return out

    def serve(self, *names: str) -> list[Callable]:
        """The same, where those that may paint wait in threads of their own."""
        return [self._patient(f) if f.__name__ in PAINTS else f for f in self.functions(*names)]

    def _patient(self, f: Callable) -> Callable:
        async def asked(data: Any = None) -> dict[str, Any]:
            if refusal := self.full_house(self.limiter.available_tokens):
                return {"error": refusal}
            return await anyio.to_thread.run_sync(f, data, limiter=self.limiter)

        asked.__name__ = f.__name__
        return asked

    def full_house(self, available: float) -> str | None:
        """One sentence where nobody else can paint or wait now."""
        return None if available >= 1 else f"{MOST_PAINTING} visitors are painting or waiting; try again in a moment."

    def paint(self, data: dict[str, Any]) -> dict[str, Any]:
        """Pictures first … first + count of a request; `keep` puts them into the gallery."""
        request = ImageRequest.from_dict(data.get("request"))
        first = number(data, "first", 0, request.num_images - 1)
        count = number(data, "count", 1, request.num_images - first)
        tab, ticket = token(data, "tab"), number(data, "ticket", 0, 2**31)
        done, spent = [], {}
        for event in self._painted(excerpt(request, first, count), tab, ticket):
            one = request.single(first + event.index)
            self.recent.put(one.to_json(), event.picture)
            id = self._keep(one, event.picture, data) if data.get("keep") is True else None
            done.append(self._told(one, event.picture, id) | {"index": first + event.index, "text": event.text})
            done[-1] |= {} if event.route is None else {"route": event.route}
            spent = {k: round(getattr(event, k), 2) for k in ("text_ms", "denoise_ms", "decode_ms")}
        if len(done) < count:
            return {"stopped": True}
        return {"pictures": done, **spent}

    def stop(self, data: dict[str, Any]) -> dict[str, Any]:
        """End what this page asked for, up to a ticket: between two steps, or while it waits."""
        self.turns.stop(token(data, "tab"), number(data, "ticket", 0, 2**31))
        return {}

    def where(self, data: dict[str, Any]) -> dict[str, Any]:
        """What this page's pictures wait for, in one sentence."""
        return {"sentence": self.turns.where(token(data, "tab"))}

    def words(self, data: dict[str, Any]) -> dict[str, Any]:
        """Words of a prompt that the model was never trained on with near ones that it was; and what it knows."""
        id = text(data, "model", 200)
        catalogue.get(id)
        known = self.turns.engine.words(id)
        told = known.tell(text(data, "prompt", 2000))
        tries = [*known.prompts()[:TRIES], *([] if known.unknown(WILD) else [WILD])]
        return {
            "unknown": [{"word": word, "near": near} for word, near in told.items()],
            "tries": tries,
            "knows": known.chips(),
        }

    def models(self, data: dict[str, Any]) -> dict[str, Any]:
        """Who can be compared: steps, size on the disk, and why one can't run here."""
        return {"models": menu.compared(self.place)}

    def gallery_page(self, data: dict[str, Any]) -> dict[str, Any]:
        """The newest pictures kept that match, 48 at a time; `before` is the last id seen."""
        before = data.get("before")
        items, total = self.gallery.search(
            self._owner(data),
            text(data, "text", 200),
            data.get("favourites") is True,
            text(data, "before", 100) if before is not None else None,
        )
        return {"pictures": [_listed(item) for item in items], "total": total}

    def favourite(self, data: dict[str, Any]) -> dict[str, Any]:
        """Mark a picture, and keep it where it wasn't kept yet."""
        id = data.get("id")
        if id is None:
            request = ImageRequest.from_dict(data.get("request"))
            id = self._keep(request, self._picture(request, data), data)
        self.gallery.favourite(text({"id": id}, "id", 100), data.get("on") is True, self._owner(data))
        return {"id": id}

    def remove(self, data: dict[str, Any]) -> dict[str, Any]:
        self.gallery.delete(text(data, "id", 100), self._owner(data))
        return {}

    def full(self, data: dict[str, Any]) -> dict[str, Any]:
        """A picture at its own size."""
        png, _ = self._png(data)
        return {"src": data_url(png, "png")}

    def download(self, data: dict[str, Any]) -> dict[str, Any]:
        """A PNG with its request inside; `scale` > 1 is a resized one that says so."""
        scale = number(data, "scale", 1, 8)
        png, fields = self._png(data)
        name = file_name(fields)
        if scale == 1:
            return {"src": data_url(png, "png"), "name": f"{name}.png"}
        small = picture.open_png(png)
        large = picture.enlarge(small, scale)
        size = {"from": f"{small.width} × {small.height}", "to": f"{large.width} × {large.height}"}
        out = picture.png_bytes(large, picture.read(png), resized_from=small.size)
        return {"src": data_url(out, "png"), "name": f"{name}-resized-{scale}x.png", **size}

    def pair(self, a: Any, b: Any, asked: dict[str, Any]) -> list[tuple[Picture, str]]:
        """Two pictures for a comparison and what each is, the smaller one smoothly enlarged to the other's size."""
        found = []
        for which in (a, b):
            if not isinstance(which, dict):
                raise ValueError("a comparison takes two pictures")
            png, r = self._png({k: which.get(k) for k in ("id", "request")} | {"owner": asked.get("owner")})
            said = f"{r['prompt']}, {r['model']}, {counted(r['steps'], 'step')}, seed {r['seed']}"
            found.append((picture.open_png(png).convert("RGB"), said))
        size = max((p.size for p, _ in found), key=lambda s: s[0])
        return [(p if p.size == size else p.resize(size, Resampling.LANCZOS), said) for p, said in found]

    def archive(self, data: dict[str, Any]) -> Path:
        """Every picture that the gallery shows, as one ZIP in a folder that gradio serves from."""
        for old in Path(self._archives.name).glob("*/*.zip"):
            if time.time() - old.stat().st_mtime > ARCHIVE_SECONDS:
                old.unlink()
        target = Path(tempfile.mkdtemp(dir=self._archives.name)) / "still-life-pictures.zip"
        self.gallery.zip(target, self._owner(data), text(data, "text", 200), data.get("favourites") is True)
        return target

    def carried(self, path: str) -> ImageRequest:
        """The request in an uploaded picture."""
        return picture.read(Path(path))

    def generate(self, fields: dict[str, Any]) -> list[dict[str, Any]]:
        """The HTTP endpoint: all pictures of a request at once."""
        request = ImageRequest.from_dict(fields)
        out = []
        for event in self._painted(request, "http", 0):
            one = request.single(event.index)
            said = {
                "seed": event.seed,
                "steps": event.steps,
                "calls": event.calls,
                "latency_ms": round(event.latency_ms, 2),
                "route": event.route,
            }
            png = picture.png_bytes(event.picture, one)
            out.append({"picture": data_url(png, "png"), "request": one.to_dict(), **said})
        return out

    def _owner(self, data: dict[str, Any]) -> str:
        return token(data, "owner") if self.place.shared else ""

    def _keep(self, request: ImageRequest, shown: Picture, data: dict[str, Any]) -> str:
        return self.gallery.add(picture.png_bytes(shown, request), request.to_dict(), self._owner(data))

    def _painted(self, request: ImageRequest, tab: str, ticket: int) -> "Iterator[Image]":
        """Pictures as they are done. Raises ValueError where visitors may not have the model; at home the engine says
        what can't run, and no keystroke waits for a look at the menu."""
        if self.place.shared and (reason := menu.refusal(catalogue.get(request.model), self.place)):
            raise ValueError(f"{request.model} can't run here. {reason}")
        return self.turns.paint(request, tab, ticket)

    def _picture(self, request: ImageRequest, data: dict[str, Any]) -> Picture:
        """What was shown a moment ago, or the same painted again."""
        if request.num_images != 1:
            raise ValueError("one picture at a time: num_images must be 1")
        held = self.recent.get(request.to_json())
        if held is not None:
            return held
        tab = data.get("tab")
        page = tab[:32] if isinstance(tab, str) else "again"
        for event in self._painted(request, f"again-{page}", 0):
            self.recent.put(request.to_json(), event.picture)
            return event.picture
        raise ValueError("the picture was stopped before it was painted")

    def _png(self, data: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """A picture of the gallery as it lies there, or one of the wall; and its request."""
        if data.get("id") is not None:
            return self.gallery.get(text(data, "id", 100), self._owner(data))
        request = ImageRequest.from_dict(data.get("request"))
        return picture.png_bytes(self._picture(request, data), request), request.to_dict()

    def _told(self, request: ImageRequest, shown: Picture, id: str | None) -> dict[str, Any]:
        if max(shown.size) <= SMALL:
            src = data_url(picture.png_bytes(shown, request, level=1), "png")
        else:
            out = io.BytesIO()
            shown.convert("RGB").save(out, "JPEG", quality=92, subsampling=0)
            src = data_url(out.getvalue(), "jpeg")
        size = {"width": shown.width, "height": shown.height}
        return {"src": src, "id": id, "favourite": False, "request": request.to_dict(), **size}


def excerpt(request: ImageRequest, first: int, count: int) -> ImageRequest:
    """The request that paints pictures first … first + count and nothing else."""
    return replace(request.single(first), num_images=count)


def counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _request_of(png: bytes) -> dict[str, Any]:
    return picture.read(png).to_dict()


def _listed(item: Item) -> dict[str, Any]:
    said = {k: getattr(item, k) for k in ("id", "request", "width", "height", "favourite")}
    return said | {"src": data_url(item.thumb, "webp")}
