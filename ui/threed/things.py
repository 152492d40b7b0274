"""Finished things: those of this studio's jobs, and the examples of the repository."""

import functools
import io
from pathlib import Path
from typing import Any

from PIL import Image

from core.paths import assets
from jobs.job import State
from ui.jobs.desk import JobsDesk, Visitor
from ui.wire import data_url, number, text

MESH, TURNTABLE = "object/object.glb", "object/turntable.webp"
PAGE = 24  # things on a page
LOOKED = 500  # newest ended jobs that are searched for things


def things(desk: JobsDesk, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """A page of finished things, the newest first, and the examples. `before`: the `next` of the page before."""
    before = number(data, "before", 0, 2**53) if data.get("before") is not None else None
    done = desk.store.jobs((State.DONE,), visitor.sees, LOOKED, before)
    there = [j for j in done if j.kind == "threed" and (desk.store.run(j.id) / MESH).is_file()]
    shown = [{"id": j.id, "name": j.request["prompt"], "src": poster(desk.store.run(j.id))} for j in there[:PAGE]]
    more = there[PAGE - 1].seq if len(there) > PAGE else None
    return {"things": shown, "next": more, "examples": [{"name": n, "src": _still(f)} for n, f in examples().items()]}


def example(desk: JobsDesk, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """The GLB of one of the examples."""
    there, name = examples(), text(data, "name", 100)
    if name not in there:
        raise ValueError(f"there is no example {name!r}; valid: {', '.join(there)}")
    return {"src": data_url(there[name].with_suffix(".glb").read_bytes(), "model/gltf-binary"), "name": name}


@functools.cache
def examples() -> dict[str, Path]:
    """The turntables of the examples by prompt; each lies beside its GLB."""
    return {f.stem.replace("-", " "): f for f in sorted((assets() / "examples").glob("*.webp"))}


def poster(run: Path) -> str:
    path = run / TURNTABLE
    return _still(path) if path.is_file() else ""


@functools.lru_cache(maxsize=256)
def _still(turntable: Path) -> str:
    """The first picture of a turntable."""
    out = io.BytesIO()
    with Image.open(turntable, formats=["WEBP"]) as frames:
        frames.convert("RGB").save(out, "WEBP", quality=85)
    return data_url(out.getvalue(), "webp")
