"""Serve this: a run becomes a model of the studio, by the command that a person would type, while the page goes on.

`python -m distill.publish RUN --id ID` runs in a process of its own, so the page never loads torch for it; the folder
of the model appears whole, and the menu of Create reads the folders at each visit.
"""

import re
import threading
from dataclasses import dataclass
from typing import Any

from core.paths import studio
from jobs.job import Job
from models import catalogue
from ui.distill.command import trouble
from ui.jobs.desk import JobsDesk, Visitor
from ui.wire import text

ACT = "add models"  # what a visitor needs to be allowed to do
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
MINUTES = 30.0  # that one publication may take


@dataclass
class Publication:
    """`error`: one sentence, empty while all is well."""

    model: str
    ended: bool = False
    error: str = ""


class Serving:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_job: dict[str, Publication] = {}

    def state(self, job: Job) -> dict[str, Any]:
        """What the page shows: why it can't be, or how far it is."""
        now = self._by_job.get(job.id)
        out: dict[str, Any] = {"reason": reason(job)}
        if now is not None:
            out |= {"model": now.model, "ended": now.ended, "error": now.error}
            row = catalogue.rows().get(now.model)
            out["listed"] = row is not None and row.manifest.kind in ("model", "lora")
        return out

    def start(self, job: Job, model: str) -> None:
        """Raises ValueError for a name that can't be taken, or while another is being published."""
        if why := reason(job):
            raise ValueError(why)
        if not NAME.fullmatch(model):
            raise ValueError(
                f"{model!r} is no valid name for a model: small letters, digits, - _ and . make one, 60 at most"
            )
        with self._lock:
            if any(not p.ended for p in self._by_job.values()):
                raise ValueError("another model is being published; try again in a minute")
            if model in catalogue.rows() or (studio() / "models" / model).exists():
                raise ValueError(f"there is a model {model!r} already; choose another name")
            now = self._by_job[job.id] = Publication(model)
        threading.Thread(target=self._publish, args=(job.id, now), name="publish", daemon=True).start()

    def _publish(self, job_id: str, now: Publication) -> None:
        try:
            now.error = trouble("distill.publish", job_id, "--id", now.model, minutes=MINUTES)
        finally:
            now.ended = True


SERVING = Serving()  # of this process, which publishes one model at a time


def state(desk: JobsDesk, job: Job) -> dict[str, Any]:
    refusal = desk.place.refusal(ACT)
    return SERVING.state(job) | ({"reason": refusal} if refusal else {})


def job_serve(desk: JobsDesk, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """Make a run a model of the studio; `job` then tells how far it is."""
    if refusal := desk.place.refusal(ACT):
        raise ValueError(refusal)
    SERVING.start(desk.own(data.get("id"), visitor), text(data, "model", 100))
    return {}


def reason(job: Job) -> str | None:
    """Why this job has nothing to serve, in a sentence."""
    if job.request.get("dataset") == "mixture":
        return "A training on the 2-D mixture makes points, not pictures: there is nothing to serve."
    if job.checkpoint_step is None:
        return "It has no checkpoint yet."
    return None
