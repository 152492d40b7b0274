"""The quality of text to 3D, by the judge that gives no rewards and by the true shapes.

    python -m benchmarks.threed [--preset draft] [--mode pool] [--seeds 1] [--few] [--studio DIR]

Rows of benchmarks/results/threed.json have mode, preset, metric, value, sd, n. Existing runs are not made again. Bad
shapes may fool the judge of kinds, so F-score, its margin over the ellipsoid in the true box, and fog are beside it. `…
of truth` is the same judge on true renders from the same cameras.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import trimesh
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from benchmarks.shapes import aligned, ellipsoid, f_score, visible
from core.files import whole_file
from core.paths import ROOT, run_dir, use_studio
from distill.data.toys.bake import solid
from distill.data.toys.render import render
from distill.data.toys.scene import SCALE, Scene, Thing
from distill.world import judge_named
from evals.judges import SIZE, Judge
from models.palette import BACKGROUNDS
from threed import run
from threed.mesh import ring
from threed.request import PRESETS, ThreeDRequest
from threed.surface import Skinned, Surface

RESULTS = ROOT / "benchmarks/results/threed.json"
TOYS = (
    ("mushroom", "red"), ("mug", "blue"), ("tree", "green"), ("car", "yellow"), ("snowman", "purple"),
    ("egg", "orange"), ("rocket", "teal"), ("teapot", "brown"), ("house", "pink"), ("hat", "white"),
)  # fmt: skip
TRUE_SIZE = 0.97 * SCALE["big"]
WATCHED = {"silhouettes", "fog", "faces"}  # of the checklist


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


def measured(judge: Judge, thing: Skinned, kind: str, colour: str) -> dict[str, float]:
    """The figures of a thing against the true toy of its prompt."""
    name = ground(colour)
    plain = tuple(c / 255 for c in BACKGROUNDS[name])
    scene = Surface(thing.mesh)
    made = torch.stack([thing.picture(scene, camera, SIZE, (plain[0], plain[1], plain[2])) for camera in ring()])
    real = np.stack([render(Scene((Thing(kind, colour),), name, camera)) for camera in ring()])
    true = read(judge, torch.from_numpy(real).permute(0, 3, 1, 2) / 255, kind, colour)
    corners = solid(kind).triangles.reshape(-1, 3) * TRUE_SIZE
    truth = visible(trimesh.Trimesh(corners, np.arange(len(corners)).reshape(-1, 3), process=False))
    points, floor = visible(thing.mesh), f_score(visible(ellipsoid(truth)), truth)
    score = aligned(points, truth)
    out = {**read(judge, made, kind, colour), **{f"{k} of truth": v for k, v in true.items()}}
    return out | {"f_score": score, "f_score floor": floor, "above floor": float(score > floor)}


def request_of(args: argparse.Namespace, kind: str, colour: str, seed: int) -> ThreeDRequest:
    fields = {"mode": args.mode, "model": args.model, "preset": args.preset, "seed": seed}
    return ThreeDRequest(prompt=prompt(kind, colour), **fields)


def one(args: argparse.Namespace, kind: str, colour: str, seed: int) -> dict[str, float] | None:
    """The figures of one run; None where the run failed and printed its reason."""
    request = ThreeDRequest(
        prompt=prompt(kind, colour), preset=args.preset, seed=seed, mode=args.mode, model=args.model
    )
    home, begun = run_dir(run.name_of(request)), time.process_time()
    if not (home / "object" / "report.json").exists():
        flags = ["--preset", args.preset, "--seed", str(seed), "--mode", request.mode, "--model", request.model]
        if run.main([request.prompt, *flags]) != 0:
            return None
        (home / "seconds.json").write_text(json.dumps(time.process_time() - begun))
    report = json.loads((home / "object" / "report.json").read_text())
    values = measured(judge_named("judge-b"), textured(home / "object" / "object.glb"), kind, colour)
    values |= {k: float(v) for k, v in report.items() if k in WATCHED} | {"watertight": float(report["watertight"])}
    if (home / "seconds.json").exists():
        values["core_seconds"] = json.loads((home / "seconds.json").read_text())
    return values


def rows(measured: list[dict[str, float]], mode: str, preset: str, total: int) -> list[dict]:
    columns: dict[str, list[float]] = defaultdict(list)
    for values in measured:
        for name, value in values.items():
            columns[name].append(value)
    out = [{"metric": k, "value": float(np.mean(v)), "sd": float(np.std(v)), "n": len(v)} for k, v in columns.items()]
    out.append({"metric": "finished", "value": len(measured) / total, "sd": 0.0, "n": total})
    return [{"mode": mode, "preset": preset} | {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
            for row in out]  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.threed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--preset", default="draft", choices=list(PRESETS))
    p.add_argument("--mode", help="the mode, instead of the preset's")
    p.add_argument("--model", help="the teacher")
    p.add_argument("--seeds", type=int, default=1)
    p.add_argument("--few", action="store_true", help="only objects whose runs exist already")
    p.add_argument("--studio")
    args = p.parse_args(argv)
    use_studio(args.studio)
    torch.set_num_threads(1)
    measured, total = [], 0
    for seed in range(args.seeds):
        for kind, colour in TOYS:
            if (
                args.few
                and not (run_dir(run.name_of(request_of(args, kind, colour, seed))) / "object" / "report.json").exists()
            ):
                continue
            total += 1
            if (values := one(args, kind, colour, seed)) is not None:
                print(kind, json.dumps({k: round(v, 3) for k, v in values.items()}), flush=True)
                measured.append(values)
    mode = args.mode or PRESETS[args.preset].mode
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    kept = [row for row in kept if (row["mode"], row["preset"]) != (mode, args.preset)]
    with whole_file(RESULTS) as part:
        part.write_text(json.dumps(kept + rows(measured, mode, args.preset, total), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
