"""The button "Serve this": it publishes a run as a model of the studio, in the background.

`python -m distill.publish RUN --id ID` runs in a process of its own, so that the page does not load torch for it. The
model's folder appears whole, and the menu of Create reads the folders at each visit.
"""

import re
import threading
from dataclasses import dataclass
from typing import Any

from core.paths import studio
from jobs.job import Job
from models import catalogue
from models.catalogue import Row
from ui.distill.command import trouble
from ui.jobs.desk import JobsDesk, Visitor
from ui.wire import text

ACT = "add models"  # the act that a place may refuse
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
MINUTES = 30.0  # time limit of one publication
FEW = "4"  # steps at which a thing of one's own is shown first: one step knows it, too, and paints it worse


@dataclass
class Publication:
    """The state of one publication. `error`: one sentence, or empty."""

    model: str
    ended: bool = False
    error: str = ""


class Serving:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_job: dict[str, Publication] = {}

    def state(self, job: Job) -> dict[str, Any]:
        """The state for the page: the reason why the run can't be published, or the progress."""
        now = self._by_job.get(job.id)
        out: dict[str, Any] = {"reason": reason(job)}
        if now is not None:
            out |= {"model": now.model, "ended": now.ended, "error": now.error}
            row = catalogue.rows().get(now.model)
            out["listed"] = row is not None and row.manifest.kind in ("model", "lora")
            if row is not None and (paints := link(row)):
                out["paints"] = paints
        return out

    def start(self, job: Job, model: str) -> None:
        """Start publishing. Raises ValueError for an invalid or taken name, and while another run is being
        published."""
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


def link(row: Row) -> dict[str, Any]:
    """The fields of Create that paint with a slider, or with a thing of one's own on a student of few steps."""
    base, word = row.manifest.base, (row.manifest.lora or {}).get("word")
    if row.manifest.kind == "slider":
        return {"model": base, "sliders": f"{row.id}:1"}
    if word is None:
        return {}
    students = [r for r in catalogue.menu() if r.manifest.base == base and FEW in r.manifest.timesteps]
    on = {"model": students[0].id, "steps": int(FEW)} if students else {"model": base}
    return on | {"prompt": f"a {word}", "loras": f"{row.id}:1"}


SERVING = Serving()  # shared by all pages; one model is published at a time


def state(desk: JobsDesk, job: Job) -> dict[str, Any]:
    refusal = desk.place.refusal(ACT)
    return SERVING.state(job) | ({"reason": refusal} if refusal else {})


def job_serve(desk: JobsDesk, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """Publish a run as a model of the studio; `job` then has the progress."""
    if refusal := desk.place.refusal(ACT):
        raise ValueError(refusal)
    SERVING.start(desk.own(data.get("id"), visitor), text(data, "model", 100))
    return {}


def reason(job: Job) -> str | None:
    """One sentence where this job has no model to publish."""
    if job.request.get("dataset") == "mixture":
        return "A training on the 2-D mixture makes points, not pictures: there is nothing to serve."
    if job.checkpoint_step is None:
        return "It has no checkpoint yet."
    return None
