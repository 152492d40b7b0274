"""Data sets that are not on this machine: why, and a button that fetches them."""

import threading
from typing import Any

from distill.data import missing
from ui.distill.command import trouble
from ui.jobs.desk import JobsDesk, Visitor

ACT = "fetch data sets"  # what a visitor needs to be allowed to do
MINUTES = 60.0


class Fetching:
    """The emoji, for all who wait for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.running, self.error = False, ""

    def start(self) -> None:
        with self._lock:
            if self.running:
                return
            self.running, self.error = True, ""
        threading.Thread(target=self._fetch, name="fetch", daemon=True).start()

    def _fetch(self) -> None:
        try:
            self.error = trouble("distill.data.emoji", minutes=MINUTES)
        finally:
            self.running = False


FETCHING = Fetching()  # of this process


def offer() -> dict[str, Any] | None:
    """What the form shows under its data sets; None where all of them are here."""
    if not missing("emoji"):
        return None
    return {"function": "data_fetch", "label": "Fetch the emoji", "running": FETCHING.running, "error": FETCHING.error}


def data_fetch(desk: JobsDesk, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """Begin to fetch what is missing; the form tells how it goes."""
    if refusal := desk.place.refusal(ACT):
        raise ValueError(refusal)
    FETCHING.start()
    return {}
