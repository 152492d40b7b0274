"""The progress of work before the first step: drawing or encoding pictures, loading a model.

Such work calls `tell("drawing toys", 4000, 24000)` as often as it likes; a listener set by `heard` shows it to people.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from core.events import Events

Ear = Callable[[str, int, int], None]
_ear: ContextVar[Ear | None] = ContextVar("ear", default=None)


def tell(stage: str, done: int, total: int) -> None:
    """Report `done` of `total` parts of a stage, whose name says what is being done: "drawing toys"."""
    if (ear := _ear.get()) is not None:
        ear(stage, done, total)


@contextmanager
def heard(ear: Ear) -> Iterator[None]:
    """Within: `tell` calls `ear`."""
    token = _ear.set(ear)
    try:
        yield
    finally:
        _ear.reset(token)


class Stages:
    """A listener that writes each stage as events, at most every `apart` seconds, with the time left at its pace."""

    def __init__(self, events: Events, apart: float = 1.0):
        self.events, self.apart = events, apart
        self.name, self.first, self.since, self.written = "", 0, 0.0, 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self.name or done <= self.first:
            self.name, self.first, self.since, self.written = stage, done, now, 0.0
        if now - self.written < self.apart:
            return
        self.written = now
        left = {"seconds_left": round((total - done) / self.pace(done), 1)} if self.pace(done) else {}
        self.events.write("progress", stage=stage, step=done, total=total, **left)

    def pace(self, done: int) -> float:
        """Parts a second of this stage; 0 while none is done."""
        spent = time.monotonic() - self.since
        return (done - self.first) / spent if spent else 0.0
