"""Things in 3D without a teacher, for tests of what shows them: real files of a real mesh, in a job that is done."""

import contextlib
import json
import shutil
import time
from pathlib import Path

import numpy as np
import trimesh

from core.events import Events
from jobs.job import Job, Progress
from jobs.store import Store
from threed import export
from threed.fit import Particle
from threed.preview import SEEDS, beside
from threed.request import ThreeDRequest
from threed.surface import Skinned
from threed.texture import skinned
from threed.trial import Trial

ORANGE, BLUE = (0.95, 0.55, 0.1), (0.1, 0.3, 0.9)
ORDER = "object.glb object.zip object.ply object.stl turntable.gif turntable.webp turntable.mp4".split()
ORDER += ["seeds.png", "report.json"]
REPORT = {"watertight": True, "tunnels": 0, "silhouettes": 0.97, "threshold": 4.0, "best": 1, "way": "field"}


def painted(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Orange in front, blue behind."""
    return np.where(points[:, 2:] > 0, ORANGE, BLUE)


def egg(side: int = 128) -> Skinned:
    mesh = trimesh.creation.icosphere(3, 0.8)
    mesh.apply_scale([0.8, 1, 0.8])
    return skinned(mesh, side, painted)[0]


def written(folder: Path, request: ThreeDRequest) -> None:
    """What a run leaves in its folder, of the egg."""
    thing = egg()
    report = REPORT | {"faces": len(thing.mesh.faces)}
    export.write(folder, thing, request, report)
    (folder / "report.json").write_text(json.dumps(report))
    ball = Particle.new(16)  # as fields begin, but nowhere denser than 23
    ball.field.values.data[0, 0].clamp_(max=1.5)
    Trial.of(ball).write(folder)
    if request.seeds > 1:
        beside([ball] * request.seeds).save(folder / SEEDS)


def done(store: Store, prompt: str = "an orange egg", owner: str = "local", files: Path | None = None, **fields) -> Job:
    """A job as a worker leaves it; `files`: of a run that made it, instead of the egg's."""
    request = ThreeDRequest(prompt=prompt, model="toybox-sd", **fields)
    job = store.submit("threed", request.to_dict(), owner)
    with store._writing():
        claimed = store.claim("boot/ns/1/1", f"cpu:{job.id}")
    assert claimed is not None and claimed.id == job.id
    run = store.run(job.id)
    if files is None:
        written(run / "object", request)
    else:
        shutil.copytree(files, run / "object")
    there = [p for name in ORDER if (p := run / "object" / name).is_file()]
    outputs = [{"path": f"object/{p.name}", "bytes": p.stat().st_size} for p in there]
    with contextlib.closing(Events(run)) as events:
        events.write("done", step=17, outputs=[o["path"] for o in outputs])
    store.beat(claimed, Progress("done", 17, 17, 0.0, None, 17, time.time()), 12.0, 5)
    store.done(claimed, outputs)
    return store.get(job.id)
