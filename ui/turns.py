"""The queue of the page: running and waiting requests, and how to stop one. The page's side of models.engine.

An open page has at most one painting that counts; stopping is a ticket up to which nothing is wanted any
more.
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
    from models.engine import Engine
    from models.generate import Image

log = logging.getLogger("ui")
MOST_TABS = 1000  # pages whose last stop is remembered


@dataclass
class Painting:
    """What one page's painting does at the moment."""

    request: ImageRequest
    place: int = 0  # generations before it
    step: int = 0  # of the network, counted from 1; 0 before its first
    loaded: bool = False
    since: float = field(default_factory=time.monotonic)
    begun: float | None = None  # since when it has the pipeline

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
    """A caller over HTTP, where a page has its tab."""
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
        """Made when somebody paints: importing torch and diffusers takes seconds that the page doesn't wait for."""
        from models.engine import Engine

        with self._making:
            if self._engine is None:
                self._engine = Engine(self.device, self.attention, backend=self.backend)
            return self._engine

    def paint(self, request: ImageRequest, tab: str, ticket: int) -> "Iterator[Image]":
        """The pictures as they are done; fewer than asked for where it was stopped."""
        with self._lock:
            now = self._now[tab] = Painting(request)
        engine = self.engine
        now.loaded = request.model in engine.loaded()
        from torch import OutOfMemoryError, cuda

        from models.engine import Waiting
        from models.generate import Step

        try:
            with metrics.IN_LINE.track_inprogress(), closing(engine.generate(request)) as events:
                for event in events:
                    if self._closed or self._stopped.get(tab, -1) >= ticket:
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
                    else:
                        yield event
            self._painted(now)
        except OutOfMemoryError:
            cuda.empty_cache()  # of this process, so that the next visitor has it
            raise ValueError(f"memory ran out while {request.model} painted; ask for fewer pictures at once") from None
        finally:
            with self._lock:
                if self._now.get(tab) is now:
                    del self._now[tab]

    def _painted(self, now: Painting) -> None:
        """Counted and logged, for those who look after the studio."""
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

    def stop(self, tab: str, ticket: int) -> None:
        with self._lock:
            self._stopped.put(tab, max(ticket, self._stopped.get(tab, -1)))

    def ticket(self) -> int:
        """For callers over HTTP, which number nothing themselves."""
        return next(self._tickets)

    def gone(self, caller: str) -> None:
        """Nobody listens to what this caller over HTTP asked for so far."""
        self.stop(http(caller), self.ticket())

    def close(self) -> None:
        """The server stops: so does whoever paints, between two steps."""
        self._closed = True

    def where(self, tab: str) -> str:
        """What this page waits for; empty where it waits for nothing."""
        now = self._now.get(tab)
        return now.sentence() if now else ""
