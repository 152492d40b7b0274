"""Health checks: /healthz, /readyz and, for this machine only, /metrics.

The server is alive while it answers. It is ready when it can paint and store a picture now; otherwise sentences say
what is missing.
"""

from contextlib import closing
from functools import cached_property

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from core import db
from core.paths import studio
from jobs import files, process
from jobs.job import Limits, State
from jobs.store import Store
from ui import metrics
from ui.desk import Desk
from ui.guard import from_here
from ui.wire import counted

PATIENCE = 2.0  # seconds that a check waits for a locked database


class Health:
    def __init__(self, desk: Desk):
        self.desk, self.studio = desk, studio()
        self.registry = CollectorRegistry()
        self.registry.register(metrics.Jobs(lambda: self.store))
        ProcessCollector(namespace="still_life", registry=self.registry)

    @cached_property
    def store(self) -> Store:
        """The jobs table, opened at the first use. After db.DatabaseUnusable the next use tries again."""
        return Store(self.studio, busy_seconds=PATIENCE)

    def routes(self) -> list[Route]:
        paths = {"/healthz": self.alive, "/readyz": self.ready, "/metrics": self.figures}
        return [Route(path, answer) for path, answer in paths.items()]

    async def alive(self, request: Request) -> Response:
        turns = self.desk.turns
        return JSONResponse({"alive": True, "backends": turns.backends(), "compiling": turns.compiling()})

    def ready(self, request: Request) -> Response:
        faults = self.faults()
        return JSONResponse({"ready": not faults, "not_ready": faults}, 503 if faults else 200)

    def figures(self, request: Request) -> Response:
        if not from_here(request.scope):
            return PlainTextResponse("Figures are for this machine alone: ask it by the name localhost.", 404)
        return Response(metrics.exposition(self.registry), media_type=CONTENT_TYPE_LATEST)

    def faults(self) -> dict[str, str]:
        """The parts that are not ready, each with one sentence."""
        reasons = {
            "models": self.desk.not_warm(),
            "visitors": self.desk.full_house(self.desk.limiter.available_tokens),
            "gallery": self._gallery(),
            "jobs": self._jobs(),
            "disk": self._disk(),
        }
        return {part: reason for part, reason in reasons.items() if reason is not None}

    def _gallery(self) -> str | None:
        try:
            with closing(db.connect(self.desk.gallery.path, PATIENCE)) as conn, db.transaction(conn):
                return None
        except db.DatabaseUnusable as e:
            return str(e)

    def _disk(self) -> str | None:
        left, needed = files.free(self.studio) / 1e9, Limits().free_gb
        return None if left >= needed else f"the studio's disk has {left:.1f} GB left; {needed:g} GB are needed"

    def _jobs(self) -> str | None:
        """One sentence where jobs can't run: the table can't be written, or jobs wait and no worker is there. A Space
        runs no jobs."""
        if self.desk.place.shared:
            return None
        try:
            self.store.count()
            alone = not self.store.workers(lambda who: process.dead(who, self.store.clock))
            waiting = self.store.counts()[State.QUEUED]
        except db.DatabaseUnusable as e:
            return str(e)
        return f"{counted(waiting, 'job')} in the queue and no worker is there" if waiting and alone else None
