"""The queue of the page: running and waiting requests, and stopping. It stands between the pages and models.engine.

Each page has at most one painting that counts. A stop names a ticket; all paintings of the page up to it are stopped.
"""

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.files import LRU
from models.request import ImageRequest
from ui import metrics

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from models.engine import Engine
    from models.generate import Image

log = logging.getLogger("ui")
MOST_TABS = 1000  # pages whose last stop is kept
NEVER = 2**62  # a ticket after all others


@dataclass
class Painting:
    """The state of one page's painting."""

    request: ImageRequest
    place: int = 0  # generations before it in the queue
    step: int = 0  # the current step, counted from 1; 0 before the first
    loaded: bool = False
    since: float = field(default_factory=time.monotonic)
    begun: float | None = None  # when it got the pipeline
    watched: bool = False  # whether the page asked for the state since the last preview
    look: "Picture | None" = None  # the latest preview

    def sentence(self) -> str:
        if self.place:
            others = "1 other" if self.place == 1 else f"{self.place} others"
            return f"Waiting for {others} to finish on {self.request.model}."
        if not self.loaded:
            return f"Loading {self.request.model} …"
        if not self.step:
            return "Reading the prompt …"
        return f"Step {self.step} of {self.request.steps} …"


def http(caller: str) -> str:
    """The name of a caller over HTTP, in place of a page's tab."""
    return f"http-{caller}"


class Turns:
    def __init__(self, device: str = "auto", attention: str = "auto", backend: str = "torch"):
        self.device, self.attention, self.backend = device, attention, backend
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._engine: Engine | None = None
        self._now: dict[str, Painting] = {}
        self._stopped: LRU[str, int] = LRU(MOST_TABS)
        self._tickets = itertools.count(1)
        self._closed = False

    @property
    def engine(self) -> "Engine":
        """The engine, made at the first painting, as importing torch and diffusers takes seconds."""
        from models.engine import Engine

        with self._making:
            if self._engine is None:
                self._engine = Engine(self.device, self.attention, backend=self.backend)
            return self._engine

    def paint(self, request: ImageRequest, tab: str, ticket: int) -> "Iterator[Image]":
        """The pictures as they are done; fewer than requested after a stop."""
        with self._lock:
            now = self._now[tab] = Painting(request)
        engine = self.engine
        now.loaded = request.model in engine.loaded()
        from torch import OutOfMemoryError, cuda

        from models.engine import Waiting
        from models.generate import Step

        def wanted() -> bool:
            return not self._closed and self._stopped.get(tab, -1) < ticket

        try:
            with metrics.IN_LINE.track_inprogress(), closing(engine.generate(request, wanted)) as events:
                for event in events:
                    if not wanted():
                        return
                    if isinstance(event, Waiting):
                        now.place = event.place
                        continue
                    if now.begun is None:
                        now.begun = time.monotonic()
                        metrics.WAITED.observe(now.begun - now.since)
                    now.place, now.loaded = 0, True
                    if isinstance(event, Step):
                        now.step = event.i + 1
                        if now.watched and now.step < request.steps:
                            now.look, now.watched = engine.look(event), False
                    else:
                        now.look = None
                        yield event
            self._painted(now)
        except OutOfMemoryError:
            cuda.empty_cache()  # so that the next visitor can use the memory
            raise ValueError(f"memory ran out while {request.model} painted; ask for fewer pictures at once") from None
        finally:
            with self._lock:
                if self._now.get(tab) is now:
                    del self._now[tab]

    def _painted(self, now: Painting) -> None:
        """Count and log a finished painting."""
        request, begun = now.request, now.begun or now.since
        seconds = time.monotonic() - begun
        metrics.PAINTED.labels(request.model).observe(seconds)
        fields = {
            "model": request.model,
            "pictures": request.num_images,
            "steps": request.steps,
            "prompt": request.prompt,
        }
        times = {"waited_s": round(begun - now.since, 3), "took_s": round(seconds, 3)}
        log.info("painted", extra=fields | times)

    def backends(self) -> dict[str, str]:
        """The back end of each model in memory, for one picture and for a wall."""
        return {} if self._engine is None else self._engine.backends()

    def compiling(self) -> int:
        """The number of models that torch paints only until their networks are compiled."""
        if self._engine is None:
            return 0
        from models import openvino

        return openvino.compiling()

    def stop(self, tab: str, ticket: int) -> None:
        with self._lock:
            self._stopped.put(tab, max(ticket, self._stopped.get(tab, -1)))

    def ticket(self) -> int:
        """A ticket for callers over HTTP, which have none of their own."""
        return next(self._tickets)

    def gone(self, session: str) -> None:
        """Stop all requests so far of a session over HTTP that disconnected."""
        self.stop(http(session), self.ticket())

    def over(self, event: str) -> None:
        """Stop the request of one call over HTTP, whose caller disconnected, even where it has not begun yet."""
        self.stop(http(event), NEVER)

    def is_over(self, event: str) -> bool:
        return self._stopped.get(http(event), -1) == NEVER

    def close(self) -> None:
        """Stop all paintings between two steps, as the server stops."""
        self._closed = True

    def where(self, tab: str) -> "tuple[str, Picture | None]":
        """One sentence on what this page waits for, empty where it does not wait; and the latest preview."""
        if (now := self._now.get(tab)) is None:
            return "", None
        now.watched = True
        return now.sentence(), now.look
