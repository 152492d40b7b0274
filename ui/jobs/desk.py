"""The desk of jobs: the functions of all kinds of jobs, for pages and HTTP endpoints.

Every call has its visitor. With logins, each person sees and controls their own jobs. On a Space a job belongs to the
browser that submitted it. On one's own machine everybody who reaches the page owns all jobs.
"""

import hashlib
import json
import mimetypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gradio as gr

from core.fields import options
from core.paths import cache
from jobs import files, keep, kinds, process
from jobs.job import ENDED, MOVES, Job, State
from jobs.store import Store
from ui.jobs.live import Live, log_end
from ui.jobs.shown import shown, shown_of
from ui.place import Place
from ui.wire import answers, data_url, number, text, token

PAGE = 50  # ended jobs at a time
ACTIVE = (State.RUNNING, State.QUEUED, State.PAUSED)
BUSY_SECONDS = 10.0  # a page waits less long for a locked file than a worker
MOST_BYTES = 64 * 2**20  # of a result that the page shows; larger ones are only in the run's folder
ROW = "id kind owner state wish attempt stage step total seconds_left resumed_from error started ended ran".split()


@dataclass(frozen=True)
class Visitor:
    """A caller. `owner`: the owner of new jobs. `sees`: the owner whose jobs are shown; None shows all."""

    owner: str = "local"
    sees: str | None = None


def username(request: Any) -> str | None:
    """The login of a caller; None where logins are not needed. `request`: gradio's, or the one of server functions."""
    if isinstance(request, gr.Request):
        return request.username
    app = request.app
    if app.auth is None:
        return None
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return app.tokens[next(request.cookies[n] for n in names if n in request.cookies)]


Served = Callable[["JobsDesk", dict[str, Any], Visitor], dict[str, Any]]


class JobsDesk:
    def __init__(self, place: Place):
        self.place = place
        self.live = Live()
        self._opening, self._starting = threading.Lock(), threading.Lock()

    @cached_property
    def store(self) -> Store:
        """The jobs table, opened at the first use. Raises db.DatabaseUnusable."""
        with self._opening:
            return Store(busy_seconds=BUSY_SECONDS)

    def visitor(self, data: dict[str, Any], user: str | None) -> Visitor:
        if user is not None:
            return Visitor(user, user)
        if self.place.shared:
            own = token(data, "owner")
            return Visitor(own, own)
        return Visitor()

    def serve(self, *functions: Served) -> list[Callable]:
        """The server functions of a page that shows a job: these, the live view's, and those of each kind."""
        view = (JobsDesk.job, JobsDesk.job_sample, JobsDesk.job_result, JobsDesk.job_form, JobsDesk.job_do)
        more = [f for kind in kinds.KINDS for f in shown(kind).serve]
        return self.bind(*functions, *view, *more)

    def bind(self, *functions: Served) -> list[Callable]:
        """These functions alone, wrapped for a page's scripts."""
        return [answers(self._bound(f)) for f in functions]

    def _bound(self, f: Served) -> Callable[[dict[str, Any], gr.Request], dict[str, Any]]:
        def call(data: dict[str, Any], request: gr.Request) -> dict[str, Any]:
            return f(self, data, self.visitor(data, username(request)))

        call.__name__ = f.__name__
        return call

    # Looking

    def own(self, id: Any, visitor: Visitor) -> Job:
        """A job that this visitor may see. Raises the same ValueError for another's job and for an unknown one."""
        name = text({"id": id}, "id", 40)
        job = self.store.get(name)
        if visitor.sees not in (None, job.owner):
            raise ValueError(f"there is no job {name!r}")
        return job

    def jobs_page(self, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        """Running and waiting jobs, and a page of ended ones, the newest first; only `{"tag"}` where nothing
        changed."""
        before = number(data, "before", 0, 2**53) if data.get("before") is not None else None
        sees, now = visitor.sees, self.store.clock.wall()
        ended = self.store.jobs(ENDED, sees, PAGE + 1, before)
        active = [] if before is not None else self.active(sees)
        counts = {str(s): n for s, n in self.store.counts(sees).items()}
        out = {
            "active": [row(j) for j in active],
            "ended": [row(j) for j in ended[:PAGE]],
            "next": ended[PAGE - 1].seq if len(ended) > PAGE else None,
            "counts": counts,
            "trouble": self.trouble() if counts["queued"] else "",
            "begin": [self.refusal(kind) or shown(kind).begin for kind in kinds.KINDS],
        }
        if not self.place.shared:
            drawn = files.size(cache())
            out["disk"] = {"used": self.store.used(), "allowed": self.store.limits.quota_gb * 1e9, "drawn": drawn}
        tag = hashlib.sha256(json.dumps(out).encode()).hexdigest()[:16]
        return {"tag": tag, "now": now} | ({} if data.get("tag") == tag else out)

    def active(self, sees: str | None) -> list[Job]:
        """The jobs that run, then those that wait in the order in which an owner's jobs start, then the paused ones."""
        listed = self.store.jobs(ACTIVE, sees, 300)
        return sorted(listed, key=lambda j: (ACTIVE.index(j.state), -j.priority, j.seq))

    def trouble(self) -> str:
        """One sentence where no job can start; empty where a worker is there and can work."""
        clock = self.store.clock
        workers = self.store.workers(lambda who: process.dead(who, clock))
        if not workers:
            return "No worker is there, so nothing starts: start the app without --no-worker, or python -m jobs.worker."
        notes = [w["note"] for w in workers]
        return notes[0] if all(notes) else ""

    def job(self, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        """Everything about one job. `seen`: the value of the answer before; curves are sent only where they changed."""
        job = self.own(data.get("id"), visitor)
        run = self.store.run(job.id)
        shown = facts_of(job) | {"title": shown_of(job).title(job), "changed": changes(job)}
        out = {"job": shown, "now": self.store.clock.wall(), "actions": actions(job)}
        out["results"] = shown_of(job).results(self, job)
        log = log_end(run)
        mark = hashlib.sha256(log.encode()).hexdigest()[:16]
        out |= {"log": {"mark": mark} | ({} if data.get("log") == mark else {"text": log})}
        return out | {"live": self.live.look(run, number(data | {"seen": data.get("seen", -1)}, "seen", -1, 2**53))}

    def job_sample(self, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        """The sample grid of a step, else the newest."""
        job = self.own(data.get("id"), visitor)
        step = None if data.get("step") is None else number(data, "step", 0, 2**53)
        return self.live.sample(self.store.run(job.id), step)

    def job_result(self, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        """One output of a job as a data URL."""
        job = self.own(data.get("id"), visitor)
        file = self.output(job, text(data, "path", 500))
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"{file.name} is too large to show; it lies in runs/{job.id} of the studio folder")
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return {"src": data_url(file.read_bytes(), kind), "name": file.name}

    def output(self, job: Job, path: str) -> Path:
        """The file of an output. Raises ValueError where there is none, or where it was removed."""
        if path not in {o["path"] for o in job.outputs}:
            raise ValueError(f"job {job.id} has no output {path!r}")
        run = self.store.run(job.id).resolve()
        if not (run / path).is_file() or not (run / path).resolve().is_relative_to(run):
            raise ValueError(f"{path} was removed from the studio folder")
        return run / path

    def missing(self, job: Job) -> list[str]:
        """The outputs that were removed since."""
        return [o["path"] for o in job.outputs if not (self.store.run(job.id) / o["path"]).exists()]

    # Moving

    def submit(
        self, kind: str, fields: Any, visitor: Visitor, priority: int = 0, key: str | None = None, parent: Any = None
    ) -> Job:
        """Queue a request of a kind; its own class validates the fields. Raises ValueError."""
        self.refuse(kind)
        request = kinds.KINDS[kind].request.from_dict(fields)
        with self._starting:  # of two simultaneous requests, only the first may be allowed
            self._ready(kind, request, visitor)
            return self.store.submit(kind, request.to_dict(), visitor.owner, priority, key, parent)

    def _ready(self, kind: str, request: Any, visitor: Visitor) -> None:
        """Raises ValueError where the request could not run here now, so that it is refused before it waits."""
        if reason := shown(kind).ready(self, request, visitor):
            raise ValueError(reason)

    def refusal(self, kind: str) -> str | None:
        """One sentence where visitors of this place may not start jobs of this kind."""
        act = shown(kind).act
        return self.place.refusal(act) if act is not None else None

    def refuse(self, kind: str) -> None:
        if reason := self.refusal(kind):
            raise ValueError(reason)

    def job_submit(self, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        """Queue a job from texts by field and setting, as in `--set`. `parent`: the job that it reruns."""
        kind, values = text(data, "kind", 40), self._values(data)
        parent = data.get("parent")
        if parent is not None:
            parent = self.own(parent, visitor).id
        self.refuse(kind)
        request = kinds.request(kind, values, {})
        return {"id": self.submit(kind, request.to_dict(), visitor, parent=parent).id}

    def job_form(self, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        """The form of a kind, given the values so far."""
        kind = text(data, "kind", 40)
        return shown(kind).form(kind, self._values(data))

    def _values(self, data: dict[str, Any]) -> dict[str, str]:
        values = data.get("values")
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise ValueError("values must be an object of texts")
        return values

    def job_estimate(self, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        """The cost of a job. A mistake in the form is returned as `mistake`, as the form is not complete yet."""
        kind, values = text(data, "kind", 40), self._values(data)
        try:
            request = kinds.request(kind, values, {})
            self._ready(kind, request, visitor)
        except ValueError as e:
            return {"mistake": str(e)}
        return {"sentences": shown(kind).cost(self.store, request, visitor.sees)}

    def job_do(self, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        """Cancel, pause, resume or delete a job."""
        return {"done": self.act(text(data, "action", 20), data.get("id"), visitor)}

    def act(self, action: str, id: Any, visitor: Visitor) -> dict[str, Any]:
        job = self.own(id, visitor)
        if action == "delete":
            return {"id": job.id, "bytes": keep.delete(self.store, job.id)}
        moves = {"cancel": self.store.cancel, "pause": self.store.pause, "resume": self.store.resume}
        if action not in moves:
            raise ValueError(f"unknown action {action!r}; valid: {', '.join(moves)}, delete")
        if action == "resume":
            self.refuse(job.kind)
            self._ready(job.kind, kinds.KINDS[job.kind].request.from_dict(job.request), visitor)
        return facts_of(moves[action](job.id))


def facts_of(job: Job) -> dict[str, Any]:
    """A job for people and programs, without the process that works on it."""
    return {k: v for k, v in job.to_json().items() if k != "worker"}


def row(job: Job) -> dict[str, Any]:
    """A job as a row of a list."""
    facts = {name: getattr(job, name) for name in ROW}
    return facts | {"title": shown_of(job).title(job), "error": job.error and job.error[:300]}


def changes(job: Job) -> dict[str, str]:
    """The fields of its request that differ from the defaults, with settings one by one, as texts for `--set`."""
    made = kinds.KINDS[job.kind].request if job.kind in kinds.KINDS else None
    usual = {name: getattr(made, name) for name in options(made)} if made else {}
    other = {k: v for k, v in job.request.items() if k != "set" and v is not None and v != usual.get(k, ...)}
    plain = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in other.items()}
    return plain | dict(part.split("=", 1) for part in job.request.get("set") or ())


def actions(job: Job) -> list[str]:
    """The actions that are possible with a job now."""
    if job.state is State.RUNNING:
        return {None: ["pause", "cancel"], "pause": ["resume", "cancel"], "cancel": []}[job.wish]
    moves = MOVES[job.state]
    named = {"pause": State.PAUSED, "resume": State.QUEUED, "cancel": State.CANCELLED}
    return [name for name, to in named.items() if to in moves] + ["rerun", "delete"]
