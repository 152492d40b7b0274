"""The form of a training: the fields of its request and the settings of its method."""

from typing import Any

from core.fields import Option, options
from core.settings import Setting, as_text
from distill.data import missing
from distill.declared import declared, methods
from distill.fitting import no_base
from distill.request import DistillRequest
from models import catalogue
from ui.distill.fetch import offer
from ui.jobs.shown import field

MAIN = {"train.steps": "Steps"}  # settings that are shown among the fields
DATASET = "toys"  # proposed where the default data set is not on this machine
AGAIN = ("method", "dataset")  # fields that change the rest of the form


def form(kind: str, values: dict[str, str]) -> dict[str, Any]:
    """`fields` and `settings`, each as a script draws it, and the `owner` of the settings."""
    usual = {name: getattr(DistillRequest, name) for name in options(DistillRequest)}
    method = values.get("method", usual["method"])
    dataset = values.get("dataset") or (DATASET if missing(usual["dataset"]) else usual["dataset"])
    fields = [_field(n, o, usual[n]) for n, o in options(DistillRequest).items() if n != "set"]
    if method not in methods():
        return {"fields": fields, "settings": [], "owner": ""}
    fields = [f | {"choices": _bases(f["choices"], method, dataset)} if f["name"] == "base" else f for f in fields]
    made_by = declared(method)
    fields[0]["help"] = made_by.about
    proposed = {"base": _usual_base(method, dataset), "dataset": dataset}
    fields = [f | {"proposed": proposed[f["name"]]} if f["name"] in proposed else f for f in fields]
    fields = [f | {"offer": offer()} if f["name"] == "dataset" else f for f in fields]
    settings = [_setting(s) for s in made_by.settings.values()]
    fields += [
        s | {"label": MAIN[s["name"]], "help": f"{s['usual']} when left out."} for s in settings if s["name"] in MAIN
    ]
    return {"fields": fields, "settings": [s for s in settings if s["name"] not in MAIN], "owner": method}


def _usual_base(method: str, dataset: str) -> str:
    """The base of the box's model of this method; "" where there is none, and for the mixture, which has its own."""
    rows = catalogue.rows()  # the box's are first
    made = [r.manifest.base for r in rows.values() if r.hub is None and r.manifest.method == method]
    return next((base for base in made if base in rows), "") if dataset != "mixture" else ""


def _field(name: str, option: Option, usual: Any) -> dict[str, Any]:
    out = field(name, option, usual, again=name in AGAIN)
    if "choices" in out:
        out["choices"] = [c | _reason(name, c["value"]) for c in out["choices"]]
    return out


def _bases(choices: list[dict[str, str]], method: str, dataset: str) -> list[dict[str, str]]:
    """Those that the method takes."""
    rows = catalogue.rows()
    return [c for c in choices if no_base(method, rows.get(c["value"]), dataset) is None]


def _reason(name: str, choice: str) -> dict[str, str]:
    """The reason why a base or a data set can't be chosen here."""
    if name == "dataset":
        reason = missing(choice)
        return {"reason": reason} if reason else {}
    row = catalogue.rows().get(choice) if name == "base" else None
    if row is None:
        return {}
    reason = catalogue.in_parts(row) or (catalogue.available(row) if row.hub is not None else None)
    return {"reason": reason} if reason else {}


def _setting(setting: Setting) -> dict[str, Any]:
    option, usual = setting.option, as_text(setting.default)
    drawn = {"name": setting.name, "label": setting.name, "help": option.help, "unit": option.unit, "usual": usual}
    choices = {"choices": [{"value": c} for c in setting.choices]} if setting.choices else {}
    return drawn | {"optional": False, "again": False} | choices
