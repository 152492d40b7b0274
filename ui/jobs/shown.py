"""How work of one kind appears on the page: its name, its form, what it will cost, and what it made.

A kind brings `SHOWN` in `ui/<kind>/job.py`, found by the kind's name. Each result says by `show` which script draws it:
`still.shows[show]` (ui/jobs/results.js has the common ones; a kind's own stands among its tab's scripts).
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

PICTURES = {".png", ".webp", ".jpg"}  # outputs that are looked at; others are listed


def titled(job: Job) -> str:
    return f"{job.kind} · {str(job.request.get('prompt', job.id))[:80]}"


def files(desk: "JobsDesk", job: Job) -> list[dict[str, Any]]:
    """Every output: pictures as pictures, the rest as a list."""
    missing = set(desk.missing(job))
    looked = [o for o in job.outputs if Path(o["path"]).suffix in PICTURES and o["path"] not in missing]
    listed = [o | {"missing": o["path"] in missing} for o in job.outputs if o not in looked]
    return [o | {"show": "picture"} for o in looked] + ([{"show": "files", "files": listed}] if listed else [])


def plain_form(kind: str, values: dict[str, str]) -> dict[str, Any]:
    """`fields` and `settings`, each as a script draws it, and the `owner` of the settings."""
    made = kinds.KINDS[kind].request
    usual = {name: getattr(made, name) for name in options(made)}  # a dataclass keeps them on the class
    return {"fields": [field(n, o, usual[n]) for n, o in options(made).items()], "settings": [], "owner": ""}


def field(name: str, option: Option, usual: Any, again: bool = False) -> dict[str, Any]:
    """One field as a script draws it; `again`: the rest of the form depends on it."""
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
    """`act`: what a visitor needs to be allowed to do to start one (Place.refusal); None: `ready` says. `begin`: where
    one starts, in a sentence. `cost`: the sentences of a form. `ready`: why this visitor's request could not run here
    now, in a sentence. `results`: what it made, now. `serve`: more server functions, for what
    can be done with results; each takes (JobsDesk, data, visitor).
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
    """Raises ValueError for a kind that is not there."""
    if kind not in kinds.KINDS:
        raise ValueError(f"unknown kind {kind!r}; valid: {', '.join(kinds.KINDS)}")
    return import_module(f"ui.{kind}.job").SHOWN


GONE = Shown(act="start such work")  # of a job whose kind this version doesn't have


def shown_of(job: Job) -> Shown:
    return shown(job.kind) if job.kind in kinds.KINDS else GONE
