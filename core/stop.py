"""How long work is asked to stop: by a signal, or because its time is over (docs/jobs.md)."""

import signal
import time

from core.events import PAUSED


class Stop:
    """SIGTERM and SIGINT ask the loop to stop after the step that it is in; before the loop they end at once."""

    def __init__(self, minutes: float | None = None, until: int | None = None):
        self.signalled, self.looping, self.minutes, self.end, self.until = False, False, minutes, None, until
        for s in (signal.SIGTERM, signal.SIGINT):
            signal.signal(s, self._ask)

    def _ask(self, *_) -> None:
        self.signalled = True
        if not self.looping:
            raise SystemExit(PAUSED)

    def begin(self) -> None:
        self.looping = True
        self.end = time.monotonic() + 60 * self.minutes if self.minutes else None

    def now(self) -> bool:
        return self.signalled or (self.end is not None and time.monotonic() > self.end)
