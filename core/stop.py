"""Stopping long work by a signal, or because its time is over (docs/jobs.md)."""

import os
import signal
import time

STOPPING = b"\nStopping after this step, with a checkpoint to go on from.\n"
AT_ONCE = b"\nStopped by Ctrl+C, before the first step.\n"


class Stop:
    """SIGTERM and SIGINT ask the loop to stop after the step that it is in; before the loop they end at once."""

    def __init__(self, minutes: float | None = None, until: int | None = None):
        self.signal, self.looping, self.minutes, self.end, self.until = 0, False, minutes, None, until
        for s in (signal.SIGTERM, signal.SIGINT):
            signal.signal(s, self._ask)

    @property
    def status(self) -> int:
        """The command's exit status, as shells report signals: 130 after Ctrl+C, else 143."""
        return 128 + (self.signal or signal.SIGTERM)

    def _ask(self, number: int, _: object) -> None:
        self.signal = number
        if number == signal.SIGINT:
            os.write(2, STOPPING if self.looping else AT_ONCE)
        if not self.looping:
            raise SystemExit(self.status)

    def begin(self) -> None:
        self.looping = True
        self.end = time.monotonic() + 60 * self.minutes if self.minutes else None

    def now(self) -> bool:
        return bool(self.signal) or (self.end is not None and time.monotonic() > self.end)
