"""Surfaces of the same finished fields, cut in different ways: which grid, how much smoothing, which threshold.

    python -m benchmarks.surfaces RUN... [--studio DIR]

Each run is a folder of studio/runs that text to 3D has made for a prompt of benchmarks/threed.py. Columns: F-score at
0.05 to the true shape after yaw alignment, faces before simplification, share of watertight meshes, and how many had no
surface. DMTet (Shen et al. 2021), which ProlificDreamer optimises by the teacher's opinion of renders of normals, is
not among them: the teachers here were shown no normals.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from torch import Tensor

from benchmarks import report
from benchmarks.shapes import aligned, visible
from benchmarks.threed import PAGE, TRUE_SIZE
from core import checkpoint
from core.paths import run_dir, use_studio
from distill.data.toys.bake import solid
from threed.field import sampled
from threed.fit import Particle
from threed.making import particle
from threed.mesh import NoSurface, chosen, largest, simplified, smoothed, surface

FACES = 8_000
WAYS = (  # side of the grid, steps of smoothing, factor on the threshold that silhouettes choose
    (72, 0, 1.0), (72, 1, 1.0), (72, 2, 1.0), (72, 4, 1.0), (48, 1, 1.0), (96, 1, 1.0), (72, 1, 0.5), (72, 1, 2.0),
)  # fmt: skip


def truth(kind: str) -> np.ndarray:
    corners = solid(kind).triangles.reshape(-1, 3) * TRUE_SIZE
    return visible(trimesh.Trimesh(corners, np.arange(len(corners)).reshape(-1, 3), process=False))


def best(name: str) -> tuple[Particle, str]:
    """The particle of a finished run that became its mesh, and the kind that its prompt names."""
    run = run_dir(name)
    newest, _ = checkpoint.newest(run)
    if newest is None:
        raise ValueError(f"run {name!r} has no checkpoint")
    saved = checkpoint.load(newest)
    kind = json.loads((run / "run.json").read_text())["threed"]["prompt"].split()[-1]
    which = f"particle-{saved.counters['best']}"
    return particle(saved.tensors[which], saved.optimizers[which]), kind


@dataclass(frozen=True)
class Made:
    score: float
    faces: int
    watertight: bool


def made(one: Particle, true: np.ndarray, side: int, steps: int, threshold: float) -> Made | None:
    density: Tensor = sampled(one.field, side)
    for _ in range(steps):
        density = smoothed(density)
    try:
        raw = surface(density, threshold)
        mesh = simplified(largest(raw), FACES)
    except NoSurface:
        return None
    return Made(aligned(visible(mesh), true), len(raw.faces), mesh.is_watertight)


def table(rows: list[report.Row]) -> str:
    return report.markdown(rows, ["grid", "smoothing", "threshold", "n", "f_score", "faces", "watertight", "none"])


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(
        "benchmarks.surfaces", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    p.add_argument("runs", nargs="+")
    p.add_argument("--docs", type=Path, default=PAGE, help="the page with the table")
    p.add_argument("--studio")
    args = p.parse_args(argv)
    use_studio(args.studio)
    torch.set_num_threads(1)
    cuts: dict[tuple[int, int, float], list[Made | None]] = {way: [] for way in WAYS}
    for name in args.runs:
        one, kind = best(name)
        true, (threshold, _) = truth(kind), chosen(one.field, one.cells)
        for side, steps, factor in WAYS:
            cuts[side, steps, factor].append(made(one, true, side, steps, factor * threshold))
        print(name, *(f"{cut.score:.3f}" if cut else "none" for cut in (c[-1] for c in cuts.values())), flush=True)
    rows = [row(*way, values) for way, values in cuts.items()]
    args.docs.write_text(
        report.insert(args.docs.read_text(encoding="utf-8"), "surfaces", table(rows)), encoding="utf-8"
    )
    return 0


def row(side: int, steps: int, factor: float, cuts: list[Made | None]) -> report.Row:
    some = [c for c in cuts if c is not None]
    figures = {"f_score": float(np.mean([c.score for c in some])), "faces": float(np.mean([c.faces for c in some]))}
    way = {"grid": side, "smoothing": steps, "threshold": f"x {factor:g}", "n": len(cuts)}
    shares = {"watertight": 100 * float(np.mean([c.watertight for c in some])), "none": len(cuts) - len(some)}
    return way | {k: round(v, 3) for k, v in figures.items()} | shares


if __name__ == "__main__":
    sys.exit(main())
