"""The page's view of a kind of job: its title, its form, its cost and its results.

Each kind has a `SHOWN` in `ui/<kind>/job.py`, found by the kind's name. The `show` of a result names the script that
draws it: `still.shows[show]`. ui/jobs/results.js has the common ones; a kind's own are among its tab's scripts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.fields import Option, options
from jobs import kinds
from jobs.job import Job
from jobs.store import Store
from models.request import Request

if TYPE_CHECKING:
    from ui.jobs.desk import JobsDesk, Visitor

PICTURES = {".png", ".webp", ".jpg"}  # outputs that are shown as pictures; others are listed


def titled(job: Job) -> str:
    return f"{job.kind} · {str(job.request.get('prompt', job.id))[:80]}"


def files(desk: "JobsDesk", job: Job) -> list[dict[str, Any]]:
    """Every output: pictures are shown, other files are listed."""
    missing = set(desk.missing(job))
    looked = [o for o in job.outputs if Path(o["path"]).suffix in PICTURES and o["path"] not in missing]
    listed = [o | {"missing": o["path"] in missing} for o in job.outputs if o not in looked]
    return [o | {"show": "picture"} for o in looked] + ([{"show": "files", "files": listed}] if listed else [])


def plain_form(kind: str, values: dict[str, str]) -> dict[str, Any]:
    """The form of a kind without one of its own: `fields` and `settings` for the scripts, and the settings' `owner`."""
    made = kinds.KINDS[kind].request
    usual = {name: getattr(made, name) for name in options(made)}  # the class has the defaults
    return {"fields": [field(n, o, usual[n]) for n, o in options(made).items()], "settings": [], "owner": ""}


def field(name: str, option: Option, usual: Any, again: bool = False) -> dict[str, Any]:
    """One field for the scripts. `again`: the rest of the form depends on it."""
    shown: dict[str, Any] = {"name": name, "label": name.replace("_", " ").capitalize()}
    shown |= {"help": option.help, "unit": option.unit, "again": again}
    shown |= {"usual": "" if usual is None else str(usual), "optional": usual is None}
    if option.choices is not None:
        shown["choices"] = [{"value": c} for c in option.choices()]
    elif isinstance(usual, bool):
        shown |= {"usual": str(usual).lower(), "choices": [{"value": "false"}, {"value": "true"}]}
    return shown


@dataclass(frozen=True)
class Shown:
    """The view of a kind. `act`: the act that a place may refuse to visitors (Place.refusal); None: `ready` decides.
    `begin`: one sentence on how to start one. `cost`: the form's sentences on time and memory. `ready`: one sentence
    where this visitor's request can't run here now. `results`: the results so far. `serve`: further server functions
    for results; each takes (JobsDesk, data, visitor).
    """

    act: str | None
    begin: str = ""
    title: Callable[[Job], str] = titled
    form: Callable[[str, dict[str, str]], dict[str, Any]] = plain_form
    cost: Callable[[Store, Request, str | None], list[str]] = lambda store, request, sees: []
    ready: Callable[["JobsDesk", Any, "Visitor"], str | None] = lambda desk, request, visitor: None
    results: Callable[["JobsDesk", Job], list[dict[str, Any]]] = files
    serve: tuple[Callable[["JobsDesk", dict[str, Any], "Visitor"], dict[str, Any]], ...] = ()


def shown(kind: str) -> Shown:
    """The view of a kind. Raises ValueError for an unknown kind."""
    if kind not in kinds.KINDS:
        raise ValueError(f"unknown kind {kind!r}; valid: {', '.join(kinds.KINDS)}")
    return import_module(f"ui.{kind}.job").SHOWN


GONE = Shown(act="start such work")  # for a job whose kind this version does not have


def shown_of(job: Job) -> Shown:
    return shown(job.kind) if job.kind in kinds.KINDS else GONE
