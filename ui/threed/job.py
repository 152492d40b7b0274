"""Jobs of text to 3D on the pages: form, cost, turntable, files and checklist."""

import json
from pathlib import Path
from typing import Any

from core.fields import options
from jobs.job import Job, State
from jobs.store import Store
from models.request import Request
from threed.request import PRESETS, ThreeDRequest
from ui.jobs.desk import JobsDesk, Visitor
from ui.jobs.shown import Shown, field
from ui.threed.trying import trial

ONE_SIDED = (
    "The box has seen toys from all sides. Of what this prompt names it knows the front alone, so that is inflated "
    "like a cushion, with its colours on the back."
)
FIRST = ("prompt", "preset", "seed")  # fields that the form shows; the others are folded away
HIDDEN = ("start", "pick", "picture")  # fields that only buttons fill in
WEIGHTS = ("seeds", "rounds", "rays", "skin", "faces", "texture")  # fields that cost time or memory
DRAFTS = "On a Space there are drafts alone, with the settings of the preset or less; run it at home for more."
ONE = "On a Space a visitor makes one thing at a time; this one starts when the other is done or cancelled."
SEEDS = "object/seeds.png"
FIXED = 10  # seconds of a run without rounds: to start and load, and to cut, unwrap and write the mesh
MESH, REPORT = "object/object.glb", "object/report.json"
LABELS = {"glb": "GLB", "zip": "OBJ, MTL and PNG", "ply": "PLY", "stl": "STL in mm"}
LABELS |= {"gif": "GIF", "webp": "WebP", "mp4": "MP4"}  # of the turntable
NO_MP4 = "The turntable is no MP4, as the package av was not installed when it was made."


def title(job: Job) -> str:
    return f"3D · {str(job.request.get('prompt', job.id))[:80]}"


def cost(store: Store, request: Request, sees: str | None) -> list[str]:
    """Sentences on time and memory, as measured, and on known limits."""
    assert isinstance(request, ThreeDRequest)
    preset = PRESETS[request.preset]
    if request.one_sided:
        return ["Less than half a minute, and 2 GB of memory.", ONE_SIDED]
    share = request.seeds * request.rounds * request.rays / (preset.seeds * preset.rounds * preset.rays)
    seconds = FIXED + (preset.seconds - FIXED) * share
    duration = f"About {seconds / 60:.0f} minutes" if seconds >= 90 else f"About {seconds:.0f} seconds"
    return [f"{duration} on two idle cores, and {preset.memory_gb:g} GB of memory."]


def ready(desk: JobsDesk, request: Any, visitor: Visitor) -> str | None:
    """One sentence where this request can't run: it starts from another visitor's thing, or on a Space it is no draft
    or a second one."""
    if request.start is not None:
        desk.own(request.start, visitor)
    if not desk.place.shared:
        return None
    draft, plain = PRESETS["draft"], ThreeDRequest(prompt=request.prompt)
    heavy = [name for name in WEIGHTS if getattr(request, name) > getattr(draft, name)]
    if heavy or (request.preset, request.model, request.mode) != ("draft", plain.model, plain.mode):
        return DRAFTS
    return ONE if desk.store.jobs((State.QUEUED, State.RUNNING), visitor.owner, 1) else None


def form(kind: str, values: dict[str, str]) -> dict[str, Any]:
    """The form: prompt, preset and seed, and the other fields with the preset's values as defaults."""
    preset, drawn = values.get("preset", ""), []
    plain = ThreeDRequest(prompt="a ball", preset=preset if preset in PRESETS else ThreeDRequest.preset)
    for name, option in options(ThreeDRequest).items():
        usual = "" if name == "prompt" else getattr(plain, name)
        drawn.append(field(name, option, usual, again=name == "preset") | {"optional": False})
    first = [f for f in drawn if f["name"] in FIRST]
    settings = [f for f in drawn if f not in first and (f["name"] not in HIDDEN or f["name"] in values)]
    return {"fields": first, "settings": settings, "owner": "the preset"}


def results(desk: JobsDesk, job: Job) -> list[dict[str, Any]]:
    """The mesh, the candidates to choose from, and the files."""
    if not job.outputs:
        return []
    missing, run = set(desk.missing(job)), desk.store.run(job.id)
    shown = [o for o in job.outputs if o["path"] not in (REPORT, SEEDS)]
    files = [o | {"name": LABELS[Path(o["path"]).suffix[1:]], "missing": o["path"] in missing} for o in shown]
    report = {} if REPORT in missing else json.loads((run / REPORT).read_text(encoding="utf-8"))
    shown: list[dict[str, Any]] = []
    if report and MESH not in missing:
        facts = {"threshold": report["threshold"], "more": report["way"] == "field"}
        shown.append({"show": "solid", "path": MESH, "name": job.request["prompt"]} | facts)
    if report and SEEDS in {o["path"] for o in job.outputs} - missing:
        shown.append({"show": "seeds", "path": SEEDS, "count": job.request["seeds"], "best": report["best"]})
    facts = [*(checklist(report) if report else []), *([] if any(f["name"] == "MP4" for f in files) else [NO_MP4])]
    return [*shown, {"show": "thing", "files": files, "facts": facts}]


def checklist(report: dict[str, Any]) -> list[str]:
    """Sentences about the mesh."""
    closed = "The mesh is closed" if report["watertight"] else "The mesh has holes"
    tunnels = report["tunnels"]
    return [
        f"{closed} and has {report['faces']:,} faces.",
        f"{tunnels} {'tunnel leads' if tunnels == 1 else 'tunnels lead'} through it, such as a handle makes.",
        f"Its silhouettes are {report['silhouettes']:.0%} those of the field that it was cut out of.",
    ]


SHOWN = Shown(
    act=None,
    begin="A thing in 3D starts on the 3D page, or by python -m jobs submit threed --set prompt='a red mushroom'.",
    title=title,
    form=form,
    cost=cost,
    results=results,
    ready=ready,
    serve=(trial,),
)
