"""The HTTP endpoints of jobs (docs/jobs.md): submit, list, status, events, result, file, cancel, pause, resume.

Programs have the same rights as the page: the same desk, requests and owners. With logins the owner is the login; on a
Space it is `owner`, 32 hexadecimal digits that the program makes up.
"""

import shutil
from typing import Any

import gradio as gr

from core.events import FILE
from core.files import whole_file
from jobs.attempt import Tail
from jobs.job import Job, State
from ui import scratch
from ui.jobs.desk import PAGE, JobsDesk, Visitor, facts_of, username
from ui.wire import number, spoken, text

MOST_LISTED = 200


class JobsApi:
    """Each method is an endpoint; the page's documentation shows its docstring."""

    def __init__(self, desk: JobsDesk):
        self.desk = desk

    def publish(self) -> None:
        """Declare the endpoints inside the current Blocks."""
        for name in ("submit", "list", "status", "events", "result", "cancel", "pause", "resume"):
            gr.api(spoken(getattr(self, f"{name}_")), api_name=name, queue=False)
        fields = [gr.Textbox(visible=False, label=label) for label in ("id", "file", "owner")]
        made = gr.DownloadButton(visible=False)
        gr.Button(visible=False).click(spoken(self.file), fields, made, api_name="file", queue=False)

    def _visitor(self, owner: str, request: gr.Request) -> Visitor:
        return self.desk.visitor({"owner": owner}, username(request))

    def _own(self, id: str, owner: str, request: gr.Request) -> Job:
        return self.desk.own(id, self._visitor(owner, request))

    def submit_(
        self, request: gr.Request, kind: str, fields: dict, priority: int = 0, key: str | None = None, owner: str = ""
    ) -> dict:
        """Queue a job. `kind`: distill or threed. `fields`: those of its request, such as {"dataset": "mixture", "set":
        {"train.steps": 200}}, or {"prompt": "a red mushroom", "preset": "draft"}. `key`: calls with the same key give
        the same job."""
        priority = number({"priority": priority}, "priority", -10, 10)
        if key is not None and not (isinstance(key, str) and 0 < len(key) <= 200 and key.isprintable()):
            raise ValueError("key must be 1 to 200 printable characters, or left out")
        if not isinstance(kind, str):
            raise ValueError("kind must be text")
        return _told(facts_of(self.desk.submit(kind, fields, self._visitor(owner, request), priority, key)))

    def list_(
        self,
        request: gr.Request,
        states: list | None = None,
        limit: int = PAGE,
        before: int | None = None,
        owner: str = "",
    ) -> dict:
        """Jobs, the newest first: `jobs`, and `next`, which as `before` gives the page after. `states`: some of queued,
        running, paused, done, failed, cancelled; all when left out."""
        limit = number({"limit": limit}, "limit", 1, MOST_LISTED)
        before = None if before is None else number({"before": before}, "before", 0, 2**53)
        wanted = [_state(s) for s in _listed(states)] or list(State)
        sees = self._visitor(owner, request).sees
        page = self.desk.store.jobs(wanted, sees, limit + 1, before)
        return {
            "jobs": [_told(facts_of(j)) for j in page[:limit]],
            "next": page[limit - 1].seq if len(page) > limit else None,
        }

    def status_(self, request: gr.Request, id: str, owner: str = "") -> dict:
        """One job: state, stage, step, total, seconds_left, checkpoint_step, attempt, resumed_from, error, outputs …"""
        return _told(facts_of(self._own(id, owner, request)))

    def events_(self, request: gr.Request, id: str, after: int = 0, owner: str = "") -> dict:
        """The events of a job: `events` after a position, and `next`, the position for the next call. An event with
        `resumed_from` voids earlier events beyond that step."""
        tail = Tail(self.desk.store.run(self._own(id, owner, request).id) / FILE)
        tail.offset = number({"after": after}, "after", 0, 2**53)
        return {"events": [_filed(e) for e in tail.read()], "next": tail.offset}

    def result_(self, request: gr.Request, id: str, owner: str = "") -> dict:
        """The result of a job that is done: `outputs` ({"file", "bytes"}, in runs/ID of the studio), `missing`: outputs
        that were removed since, and `values`: the last value of each curve."""
        job = self._own(id, owner, request)
        if job.state is not State.DONE:
            why = f" ({job.error})" if job.error else ""
            raise ValueError(f"job {job.id} is {job.state}: it has no result{why}")
        plots = self.desk.live.look(self.desk.store.run(job.id), -1)["curves"]
        values = {f"{line['name']}/{p['quantity']}": line["points"][-1][1] for p in plots for line in p["lines"]}
        return {
            "id": job.id,
            "outputs": [_filed(o) for o in job.outputs],
            "missing": self.desk.missing(job),
            "values": values,
        }

    def file(self, request: gr.Request, id: str, file: str, owner: str = "") -> str:
        """One output of a job as a file. `file`: its name in /result, such as object/object.glb."""
        output = self.desk.output(self._own(id, owner, request), text({"file": file}, "file", 500))
        copy = scratch.folder() / id / output.name  # gradio serves from there alone, and removes it after a day
        copy.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(copy) as part:
            shutil.copyfile(output, part)
        return str(copy)

    def cancel_(self, request: gr.Request, id: str, owner: str = "") -> dict:
        """End a job; its checkpoints are kept."""
        return _told(self.desk.act("cancel", id, self._visitor(owner, request)))

    def pause_(self, request: gr.Request, id: str, owner: str = "") -> dict:
        """Stop a job after a checkpoint."""
        return _told(self.desk.act("pause", id, self._visitor(owner, request)))

    def resume_(self, request: gr.Request, id: str, owner: str = "") -> dict:
        """Queue a paused, failed or cancelled job again; it goes on from its newest good checkpoint."""
        return _told(self.desk.act("resume", id, self._visitor(owner, request)))


def _filed(event: dict[str, Any]) -> dict[str, Any]:
    """An object with `path` renamed to `file`, as gradio's client takes an object with a `path` for a download."""
    return {"file" if k == "path" else k: v for k, v in event.items()}


def _told(job: dict[str, Any]) -> dict[str, Any]:
    return job | {"outputs": [_filed(o) for o in job["outputs"]]}


def _listed(states: Any) -> list:
    if states is not None and not isinstance(states, list):
        raise ValueError(f"states must be a list of some of {', '.join(State)}")
    return states or []


def _state(name: Any) -> State:
    if name not in list(State):
        raise ValueError(f"unknown state {name!a:.40}; valid: {', '.join(State)}")
    return State(name)
