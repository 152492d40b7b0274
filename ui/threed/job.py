"""A thing in three dimensions on the pages: its form, what it will cost, its turntable, files and checklist."""

import json
from pathlib import Path
from typing import Any

from core.fields import options
from jobs.job import Job
from jobs.store import Store
from models.request import Request
from threed.request import PRESETS, ThreeDRequest
from ui.jobs.desk import JobsDesk
from ui.jobs.shown import Shown, field

ONE_SIDED = (
    "The box has seen toys from all sides. Of what this prompt names it knows the front alone, so that is inflated "
    "like a cushion, with its colours on the back."
)
FIRST = ("prompt", "preset", "seed")  # what a form shows; the rest is folded away
TURNTABLE, REPORT = "object/turntable.webp", "object/report.json"
LABELS = {"glb": "GLB", "zip": "OBJ, MTL and PNG", "ply": "PLY", "stl": "STL in mm", "gif": "GIF", "webp": "WebP"}


def title(job: Job) -> str:
    return f"3D · {str(job.request.get('prompt', job.id))[:80]}"


def cost(store: Store, request: Request, sees: str | None) -> list[str]:
    """Time and memory as they were measured, and what is known to go wrong."""
    assert isinstance(request, ThreeDRequest)
    preset = PRESETS[request.preset]
    if request.one_sided:
        return ["Less than half a minute, and 2 GB of memory.", ONE_SIDED]
    share = request.seeds * request.rounds / (preset.seeds * preset.rounds)
    seconds = preset.seconds * share
    told = f"About {seconds / 60:.0f} minutes" if seconds >= 90 else f"About {seconds:.0f} seconds"
    return [f"{told} on two idle cores, and {preset.memory_gb:g} GB of memory."]


def form(kind: str, values: dict[str, str]) -> dict[str, Any]:
    """Prompt, preset and seed; what the preset says stands in the fields behind them."""
    preset, drawn = values.get("preset", ""), []
    plain = ThreeDRequest(prompt="a ball", preset=preset if preset in PRESETS else ThreeDRequest.preset)
    for name, option in options(ThreeDRequest).items():
        usual = "" if name == "prompt" else getattr(plain, name)
        drawn.append(field(name, option, usual, again=name == "preset") | {"optional": False})
    first = [f for f in drawn if f["name"] in FIRST]
    return {"fields": first, "settings": [f for f in drawn if f not in first], "owner": "the preset"}


def results(desk: JobsDesk, job: Job) -> list[dict[str, Any]]:
    """Its turntable, then its files."""
    if not job.outputs:
        return []
    missing, run = set(desk.missing(job)), desk.store.run(job.id)
    told = [o for o in job.outputs if o["path"] != REPORT]
    files = [o | {"name": LABELS[Path(o["path"]).suffix[1:]], "missing": o["path"] in missing} for o in told]
    turning = [o | {"show": "picture"} for o in told if o["path"] == TURNTABLE and o["path"] not in missing]
    facts = [] if REPORT in missing else checklist(json.loads((run / REPORT).read_text(encoding="utf-8")))
    return [*turning, {"show": "thing", "files": files, "facts": facts}]


def checklist(report: dict[str, Any]) -> list[str]:
    """What is true of the mesh, in sentences."""
    closed = "The mesh is closed" if report["watertight"] else "The mesh has holes"
    tunnels = report["tunnels"]
    return [
        f"{closed} and has {report['faces']:,} faces.",
        f"{tunnels} {'tunnel leads' if tunnels == 1 else 'tunnels lead'} through it, such as a handle makes.",
        f"Its silhouettes are {report['silhouettes']:.0%} those of the field that it was cut out of.",
    ]


SHOWN = Shown(
    act="make things in 3D",
    begin="A thing in 3D starts on the 3D page, or by python -m jobs submit threed --set prompt='a red mushroom'.",
    title=title,
    form=form,
    cost=cost,
    results=results,
)
