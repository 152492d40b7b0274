"""The quality of text to 3D, by the judge that gives no rewards and by the true shapes.

    python -m benchmarks.threed [--preset draft] [--mode pool] [--rounds 14] [--kinds 10] [--seeds 1] [--studio DIR]

Rows of benchmarks/results/threed.json have model, mode, preset, rounds, metric, value, sd, n. Existing runs are not
made again. Bad shapes may fool the judge of kinds, so F-score, its margin over the ellipsoid in the true box, and fog
are beside it. `… of truth` is the same judge on true renders from the same cameras. `features` is the distance between
the judge's mean features of both, 1 - cosine; `saturation` the difference of their mean saturation, made less true; and
`variety` the mean distance, 1 - cosine, between the features of two seeds of one prompt, camera by camera. For kinds
that look different from every side a judge of angles (benchmarks/angles.py) reads the azimuth of twelve views: `one
front` is the share of things whose angles turn with the camera, `angle` their median error in degrees.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
import trimesh
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from benchmarks import angles, report
from benchmarks.shapes import aligned, ellipsoid, f_score, visible
from core.paths import ROOT, run_dir, use_studio
from distill.data.toys.bake import solid
from distill.data.toys.render import render
from distill.data.toys.scene import SCALE, Scene, Thing
from distill.world import judge_named
from evals.judges import SIZE, Judge
from models.palette import BACKGROUNDS
from models.views import Camera
from threed import run
from threed.mesh import ring
from threed.request import PRESETS, ThreeDRequest
from threed.surface import Skinned, Surface

RESULTS = ROOT / "benchmarks/results/threed.json"
TOYS = (
    ("mushroom", "red"), ("mug", "blue"), ("tree", "green"), ("car", "yellow"), ("snowman", "purple"),
    ("egg", "orange"), ("rocket", "teal"), ("teapot", "brown"), ("house", "pink"), ("hat", "white"),
    ("robot", "teal"), ("chair", "green"), ("boat", "blue"), ("bird", "white"), ("sofa", "red"),
    ("aeroplane", "orange"), ("table", "brown"), ("lamp", "yellow"), ("bottle", "green"), ("fish", "orange"),
    ("key", "yellow"), ("ring", "pink"), ("cone", "purple"), ("cylinder", "teal"), ("pyramid", "blue"),
    ("cube", "red"), ("ball", "green"),
)  # fmt: skip
TRUE_SIZE = 0.97 * SCALE["big"]
WATCHED = {"silhouettes", "fog", "faces"}  # of the checklist
WAY = ("model", "mode", "preset", "rounds")
SHARES = {"kind", "colour", "above floor", "one front", "watertight", "finished"}
SHOWN = (
    "kind",
    "colour",
    "f_score",
    "above floor",
    "one front",
    "angle",
    "features",
    "saturation",
    "variety",
    "fog",
    "silhouettes",
)
SHOWN += ("watertight", "finished", "core_seconds")
APART = 0.06  # from a plain background: what is farther belongs to the thing
TURNED, TOGETHER = 12, 0.8  # views of one turn; the least length of the mean vector that counts as turning with it
PAGE = ROOT / "docs/threed.md"


def prompt(kind: str, colour: str) -> str:
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {kind}"


def ground(colour: str) -> str:
    """The background of the views, which differs from a white thing's colour."""
    return "black" if colour == "white" else "white"


def textured(path: Path) -> Skinned:
    """The mesh and texture of a GLB, read as other programs do."""
    mesh = trimesh.load_mesh(path, process=False)
    look = mesh.visual
    assert isinstance(look, TextureVisuals) and isinstance(look.material, PBRMaterial)
    assert look.material.baseColorTexture is not None, "it has a picture"
    image = np.asarray(look.material.baseColorTexture.convert("RGB"))
    return Skinned(mesh, np.asarray(look.uv)[np.asarray(mesh.faces)], image)


def read(judge: Judge, pictures: torch.Tensor, kind: str, colour: str) -> dict[str, float]:
    """The shares of views [B, 3, H, W] in [0, 1] with the prompt's kind, and with its colour."""
    _, answers = judge.read(pictures * 2 - 1)
    right = {"kind": kind, "colour": colour}
    return {k: float((answers[k] == judge.classes[k].index(v)).float().mean()) for k, v in right.items()}


def saturation(pictures: torch.Tensor, plain: tuple[float, ...]) -> float:
    """The mean saturation (HSV) of pictures [B, 3, H, W] in [0, 1], where they are not this plain colour."""
    thing = (pictures - torch.tensor(plain)[:, None, None]).abs().amax(1) > APART
    high, low = pictures.amax(1), pictures.amin(1)
    return float(((high - low) / high.clamp(min=1e-6))[thing].mean())


def apart(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return 1 - torch.cosine_similarity(a, b, dim=-1)


def variety(features: list[torch.Tensor]) -> float:
    """The mean distance between two of a prompt's things, by their features [views, D]."""
    return float(torch.stack([apart(a, b).mean() for a, b in combinations(features, 2)]).mean())


def turning(thing: Skinned, kind: str, plain: tuple[float, float, float]) -> dict[str, float]:
    """Whether a thing has one front: the length of the mean of unit vectors at the angles' differences, and the median
    error."""
    cameras, scene = [Camera(360 * k / TURNED - 180, 20.0) for k in range(TURNED)], Surface(thing.mesh)
    pictures = torch.stack([thing.picture(scene, camera, SIZE, plain) for camera in cameras])
    kinds = torch.full((TURNED,), angles.KINDS.index(kind))
    read = angles.read(angles.trained(), pictures * 2 - 1, kinds)
    apart = (read - torch.tensor([camera.azimuth for camera in cameras])).deg2rad()
    together = torch.stack([apart.sin().mean(), apart.cos().mean()]).norm()
    off = torch.atan2(apart.sin(), apart.cos()).rad2deg().abs()
    return {"one front": float(together > TOGETHER), "angle": float(off.median())}


def measured(judge: Judge, thing: Skinned, kind: str, colour: str) -> tuple[dict[str, float], torch.Tensor]:
    """The figures of a thing against the true toy of its prompt, and the judge's features of its views."""
    name = ground(colour)
    plain = tuple(c / 255 for c in BACKGROUNDS[name])
    scene = Surface(thing.mesh)
    made = torch.stack([thing.picture(scene, camera, SIZE, (plain[0], plain[1], plain[2])) for camera in ring()])
    real = np.stack([render(Scene((Thing(kind, colour),), name, camera)) for camera in ring()])
    real = torch.from_numpy(real).permute(0, 3, 1, 2) / 255
    true, own, theirs = read(judge, real, kind, colour), judge.read(2 * made - 1)[0], judge.read(2 * real - 1)[0]
    corners = solid(kind).triangles.reshape(-1, 3) * TRUE_SIZE
    truth = visible(trimesh.Trimesh(corners, np.arange(len(corners)).reshape(-1, 3), process=False))
    points, floor = visible(thing.mesh), f_score(visible(ellipsoid(truth)), truth)
    score = aligned(points, truth)
    out = {**read(judge, made, kind, colour), **{f"{k} of truth": v for k, v in true.items()}}
    out |= turning(thing, kind, (plain[0], plain[1], plain[2])) if kind in angles.KINDS else {}
    out |= {"features": float(apart(own.mean(0), theirs.mean(0)))}
    out |= {"saturation": saturation(made, plain) - saturation(real, plain)}
    return out | {"f_score": score, "f_score floor": floor, "above floor": float(score > floor)}, own


def one(request: ThreeDRequest, kind: str, colour: str) -> tuple[dict[str, float], torch.Tensor] | None:
    """The figures of one run, and its features; None where the run failed and printed its reason."""
    home, begun = run_dir(run.name_of(request)), time.process_time()
    if not (home / "object" / "report.json").exists():
        given = {"preset": request.preset, "seed": request.seed, "mode": request.mode, "rounds": request.rounds}
        flags = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        if run.main([request.prompt, *flags, "--model", request.model]) != 0:
            return None
        (home / "seconds.json").write_text(json.dumps(time.process_time() - begun))
    facts = json.loads((home / "object" / "report.json").read_text())
    values, features = measured(judge_named("judge-b"), textured(home / "object" / "object.glb"), kind, colour)
    values |= {k: float(v) for k, v in facts.items() if k in WATCHED} | {"watertight": float(facts["watertight"])}
    if (home / "seconds.json").exists():
        values["core_seconds"] = json.loads((home / "seconds.json").read_text())
    return values, features


def figures(measured: list[dict[str, float]], total: int) -> list[report.Row]:
    columns: dict[str, list[float]] = defaultdict(list)
    for values in measured:
        for name, value in values.items():
            columns[name].append(value)
    out = [{"metric": k, "value": float(np.mean(v)), "sd": float(np.std(v)), "n": len(v)} for k, v in columns.items()]
    out.append({"metric": "finished", "value": len(measured) / total, "sd": 0.0, "n": total})
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in out]


def table(rows: list[report.Row]) -> str:
    """A line for each way, a column for each metric."""
    ways: dict[tuple, report.Row] = {}
    for row in rows:
        way = ways.setdefault(tuple(row[k] for k in WAY), {k: row[k] for k in WAY} | {"n": row["n"]})
        way[row["metric"]] = float(f"{100 * row['value']:.3g}") if row["metric"] in SHARES else row["value"]
    return report.markdown(list(ways.values()), [*WAY, "n", *SHOWN])


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.threed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--preset", default="draft", choices=list(PRESETS))
    p.add_argument("--mode", help="the mode, instead of the preset's")
    p.add_argument("--rounds", type=int, help="the rounds, instead of the preset's")
    p.add_argument("--model", help="the teacher")
    p.add_argument("--kinds", type=int, default=10, help="how many prompts, from the first on")
    p.add_argument("--seeds", type=int, default=1)
    p.add_argument("--docs", type=Path, default=PAGE, help="the page with the table")
    p.add_argument("--studio")
    args = p.parse_args(argv)
    use_studio(args.studio)
    torch.set_num_threads(1)
    measured, features, total = [], defaultdict(list), args.seeds * args.kinds
    fields = {"mode": args.mode, "rounds": args.rounds, "model": args.model, "preset": args.preset}
    like = ThreeDRequest(prompt=prompt(*TOYS[0]), **fields)
    for seed in range(args.seeds):
        for kind, colour in TOYS[: args.kinds]:
            request = replace(like, prompt=prompt(kind, colour), seed=seed)
            if (made := one(request, kind, colour)) is not None:
                print(kind, json.dumps({k: round(v, 3) for k, v in made[0].items()}), flush=True)
                measured.append(made[0])
                features[kind].append(made[1])
    new = figures(measured, total)
    if pairs := [variety(each) for each in features.values() if len(each) > 1]:
        mean, sd = round(float(np.mean(pairs)), 4), round(float(np.std(pairs)), 4)
        new.append({"metric": "variety", "value": mean, "sd": sd, "n": len(pairs)})
    way = {"model": like.model, "mode": like.mode, "preset": like.preset, "rounds": like.rounds}
    known = report.record(RESULTS, [way | row for row in new], (*WAY, "metric"))
    args.docs.write_text(report.insert(args.docs.read_text(encoding="utf-8"), "threed", table(known)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
