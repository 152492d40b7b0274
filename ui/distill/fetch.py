"""Fetching of data sets that are not on this machine, by a button of the form."""

import threading
from typing import Any

from distill.data import missing
from ui.distill.command import trouble
from ui.jobs.desk import JobsDesk, Visitor

ACT = "fetch data sets"  # the act that a place may refuse
MINUTES = 60.0


class Fetching:
    """The download of the emoji, which all pages share."""

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
    """The button that the form shows under its data sets; None where all data sets are here."""
    if not missing("emoji"):
        return None
    return {"function": "data_fetch", "label": "Fetch the emoji", "running": FETCHING.running, "error": FETCHING.error}


def data_fetch(desk: JobsDesk, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """Start the download; the form then shows its state."""
    if refusal := desk.place.refusal(ACT):
        raise ValueError(refusal)
    FETCHING.start()
    return {}
