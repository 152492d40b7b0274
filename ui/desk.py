"""The desk: the state that all tabs share, and the wrappers of their server functions.

A server function stands beside its tab and takes `(desk, data)`. Data of one visitor carry a token: `owner` (a browser,
on a Space) or `tab` (an open page). Answers are plain JSON; a mistake is `{"error": one sentence}`. Models are loaded
when they are first needed.
"""

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
from PIL.Image import Image as Picture

from core.paths import studio
from models import catalogue, picture
from models.request import ImageRequest
from ui import menu, wall
from ui.gallery import Gallery
from ui.jobs.desk import JobsDesk
from ui.place import Place
from ui.recent import Recent
from ui.turns import Turns
from ui.wire import answers, text, token

if TYPE_CHECKING:
    from models.generate import Image

MOST_PAINTING = 32  # calls that paint or wait to paint; more are refused, so that other calls still get through
SPACE_KEEPS = 2000  # pictures in the gallery of a Space, of all visitors together
Served = Callable[["Desk", dict[str, Any]], dict[str, Any]]


class Desk:
    """The shared state of the app. `device`, `attention`, `backend`: as in models.engine."""

    def __init__(self, place: Place, device: str = "auto", attention: str = "auto", backend: str = "torch"):
        self.place = place
        self.gallery = Gallery(studio(), _request_of, SPACE_KEEPS if place.shared else None)
        self.turns = Turns(device, attention, backend)
        self.recent = Recent()
        self.jobs = JobsDesk(place)
        self.limiter = anyio.CapacityLimiter(MOST_PAINTING)
        self._warming = threading.Thread(target=self._warm, daemon=True)

    def warm(self) -> None:
        """Load the first visitor's model while the server starts."""
        self._warming.start()

    def close(self) -> None:
        """Stop painting, and close the gallery."""
        self.turns.close()
        self.gallery.close()

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

    # Server functions

    def serve(self, *functions: Served) -> list[Callable]:
        """Functions that paint nothing, for the `server` of a part."""
        return [answers(self._bound(f)) for f in functions]

    def serve_painting(self, *functions: Served) -> list[Callable]:
        """Functions that may paint, for the `server` of a part: they wait in threads of their own, and calls beyond
        MOST_PAINTING are refused."""
        return [self.patient(f) for f in self.serve(*functions)]

    def _bound(self, f: Served) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def call(data: dict[str, Any]) -> dict[str, Any]:
            return f(self, data)

        call.__name__ = f.__name__
        return call

    def patient(self, f: Callable) -> Callable:
        """A served function, made one that may paint."""

        @functools.wraps(f)
        async def call(*arguments: Any) -> dict[str, Any]:
            if refusal := self.full_house(self.limiter.available_tokens):
                return {"error": refusal}
            return await anyio.to_thread.run_sync(f, *arguments, limiter=self.limiter)

        return call

    def full_house(self, available: float) -> str | None:
        """One sentence where no further call may paint or wait now."""
        return None if available >= 1 else f"{MOST_PAINTING} visitors are painting or waiting; try again in a moment."

    # Pictures

    def owner(self, data: dict[str, Any]) -> str:
        """The token of the gallery's owner; empty at home."""
        return token(data, "owner") if self.place.shared else ""

    def keep(self, request: ImageRequest, shown: Picture, data: dict[str, Any]) -> str:
        """Keep a picture and return its id. The same picture is kept once, from whichever page it comes."""
        owner = self.owner(data)
        if (id := self.gallery.same(shown, request.to_dict(), owner)) is not None:
            return id
        return self.gallery.add(picture.png_bytes(shown, request), request.to_dict(), owner)

    def enlarged(self, request: ImageRequest, painted: Picture) -> Picture:
        """A picture at the size of its request, from the painted one; both are cached."""
        from models.enlarge import enlarged

        self.recent.put(request.as_painted().to_json(), painted)
        large = self.recent.get(request.to_json())
        if large is None:
            large = enlarged(painted, request.enlarge, request.enlarger)
            self.recent.put(request.to_json(), large)
        return large

    def painted(self, request: ImageRequest, tab: str, ticket: int) -> "Iterator[Image]":
        """Pictures as they are done. Raises ValueError where visitors may not use a model. At home the engine checks
        this itself, so that no keystroke waits for it."""
        for id in request.models() if self.place.shared else ():
            self.refuse(id)
        return self.turns.paint(request, tab, ticket)

    def refuse(self, id: str) -> None:
        """Raises ValueError for a model that visitors of this place can't paint with."""
        if reason := menu.refusal(catalogue.get(id), self.place):
            raise ValueError(f"{id} can't run here. {reason}")

    def picture(self, request: ImageRequest, data: dict[str, Any]) -> Picture:
        """The picture that was just shown, or the same painted again."""
        if request.num_images != 1:
            raise ValueError("one picture at a time: num_images must be 1")
        if (held := self.recent.get(request.to_json())) is not None:
            return held
        painted = self.recent.get(request.as_painted().to_json())
        return self.enlarged(request, painted or self._again(request.as_painted(), data))

    def _again(self, request: ImageRequest, data: dict[str, Any]) -> Picture:
        tab = data.get("tab")
        page = tab[:32] if isinstance(tab, str) else "again"
        for event in self.painted(request, f"again-{page}", 0):
            return event.picture
        raise ValueError("the picture was stopped before it was painted")

    def png(self, data: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """The PNG of a picture of the gallery or of the wall, and its request."""
        if data.get("id") is not None:
            return self.gallery.get(text(data, "id", 100), self.owner(data))
        request = ImageRequest.from_dict(data.get("request"))
        return picture.png_bytes(self.picture(request, data), request), request.to_dict()


def _request_of(png: bytes) -> dict[str, Any]:
    return picture.own(png)
