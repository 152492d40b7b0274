"""Measures whether pictures follow a sketch: silhouettes of held-out toys, drawn imprecisely, against the pictures.

    python -m benchmarks.control [--models toybox-hyper:1 …] [--seeds 0 1 2] [--pictures 48]

Each toy's prompt names its kind, colour and background. Its sketch has gaps, wobbles, and lines of varied width.
`iou` compares the toy's silhouette with the pixels that differ from the picture's background. `edges` is the F score
of edge pixels, where an edge counts as met if the other image has one within two pixels. `judge-b` reads kind and
colour. Every figure is measured with the sketch and without it, the latter as the floor. `slower` is the denoising
time with the control divided by the time without it. Rows go to results/control.json.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image as Pictures
from scipy.ndimage import binary_dilation

from benchmarks import report, scoring
from core.paths import use_studio
from distill.data import SIDE
from distill.data.steered import detected, exact
from distill.data.steered.drawn import sketch
from distill.data.toys import prompt, scene_at
from distill.data.toys.scene import Scene
from distill.method import Rows
from distill.world import judge_named, pixels
from evals.judges import Judge
from models import families, inputs
from models.families import Parts
from models.generate import Image, generate
from models.request import ImageRequest
from models.strips import png

KEYS = ("model", "steps", "sketch", "metric")
MODELS = (
    "toybox-sd:20",
    "toybox-sana:20",
    "toybox-sprint:1",
    "toybox-sprint:4",
    "toybox-hyper:1",
    "toybox-disback:1",
    "toybox-lcm:1",
    "toybox-dmd2:4",
    "toybox-cfg-lora:20",
)
FIRST = 500_000  # index of the first scene; benchmarks.decoders alone uses these scenes too
NEAR = 2  # greatest distance in pixels at which two edges match
SEED_STEP = 1_000_003
TARGETS = {"iou": "≥ 0.80", "kind": "≥ 95 % of that without", "colour": "≥ 95 % of that without", "slower": "≤ 1.4"}


@dataclass(frozen=True)
class Drawn:
    """A held-out toy and its sketch."""

    prompt: str
    scene: Scene
    silhouette: np.ndarray  # [H, W] bool
    edges: np.ndarray  # [H, W] bool
    drawing: str  # sha256 of a PNG in inputs/, dark on light


def drawn(n: int) -> list[Drawn]:
    """`n` held-out scenes of one object each, with their sketches kept in inputs/."""
    scenes = [scene_at(0, FIRST + i, "held_out", group="one") for i in range(n)]
    lines = [exact.lines(scene) for scene in scenes]
    outline, edges = (
        torch.from_numpy(np.stack([getattr(one, name) for one in lines]))[:, None].float() / 255
        for name in ("outline", "edges")
    )
    sheets = (255 * (1 - sketch(outline, edges, Rows(0, 0, n)))).round().byte()[:, 0].numpy()
    attributes = ["colour", "background"]
    return [
        Drawn(
            prompt(scene, attributes), scene, one.depth > 0, one.edges > 0, inputs.keep(png(Pictures.fromarray(sheet)))
        )
        for scene, one, sheet in zip(scenes, lines, sheets, strict=True)
    ]


def silhouette(picture: np.ndarray) -> np.ndarray:
    """[H, W] bool: pixels that differ from the background, which is the median colour of the border."""
    rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    return np.abs(picture - np.median(rim.astype(np.float32), 0)).max(-1) > detected.AWAY


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def f_score(a: np.ndarray, b: np.ndarray) -> float:
    """F score of two edge images [H, W] bool: an edge pixel counts if the other image has one within `NEAR` pixels."""
    wide = np.ones((2 * NEAR + 1, 2 * NEAR + 1), bool)
    hits = [float((x & binary_dilation(y, wide)).sum() / max(x.sum(), 1)) for x, y in ((a, b), (b, a))]
    return 2 * hits[0] * hits[1] / max(sum(hits), 1e-9)


def paint(parts: Parts, request: ImageRequest) -> np.ndarray:
    (picture,) = (e.picture for e in generate(parts, request) if isinstance(e, Image))
    return np.asarray(picture.convert("RGB").resize((SIDE, SIDE)))


def figures(
    parts: Parts, steps: int, toys: Sequence[Drawn], judge: Judge, seed: int, followed: bool
) -> dict[str, float]:
    """Each metric's mean over the toys, for one sampling seed, with or without their sketches."""
    painted, sums = [], {"iou": 0.0, "edges": 0.0}
    for k, toy in enumerate(toys):
        number, control = (seed * SEED_STEP + k) % 2**31, toy.drawing if followed else ""
        request = ImageRequest(toy.prompt, model=parts.row.id, steps=steps, seed=number, control=control)
        painted.append(paint(parts, request))
        sums["iou"] += iou(silhouette(painted[-1]), toy.silhouette)
        sums["edges"] += f_score(detected.edges(painted[-1]), toy.edges)
    right = scoring.right(judge, pixels(np.stack(painted)), [toy.scene for toy in toys])
    return {name: value / len(toys) for name, value in sums.items()} | right


def slower(parts: Parts, steps: int, toy: Drawn, rounds: int = 7) -> float:
    """Median denoising time with the control, divided by the median without it; the two are measured in turns."""
    plain = ImageRequest(toy.prompt, model=parts.row.id, steps=steps)
    spent: dict[bool, list[float]] = {False: [], True: []}
    for k in range(rounds + 1):
        for followed, request in ((False, plain), (True, replace(plain, control=toy.drawing))):
            (event,) = (e for e in generate(parts, request) if isinstance(e, Image))
            if k:
                spent[followed].append(event.denoise_ms)
    return statistics.median(spent[True]) / statistics.median(spent[False])


def rows(model: str, steps: int, toys: Sequence[Drawn], judge: Judge, seeds: Sequence[int]) -> list[report.Row]:
    parts, out = families.load_all([model])[model], []
    for followed in (False, True):
        place = {"model": model, "steps": steps, "sketch": "followed" if followed else "none"}
        runs = [figures(parts, steps, toys, judge, seed, followed) for seed in seeds]
        for metric in runs[0]:
            figure = report.over_seeds([run[metric] for run in runs], len(toys))
            out.append(place | {"metric": metric} | figure)
    times = {"model": model, "steps": steps, "sketch": "followed", "metric": "slower"}
    return [*out, times | {"value": float(f"{slower(parts, steps, toys[0]):.3g}"), "sd": None, "n": 1}]


def table(known: Sequence[report.Row]) -> str:
    """A Markdown table with one line for each model with sketches and one without."""
    lines: dict[tuple, report.Row] = {}
    for row in known:
        line = lines.setdefault((row["model"], row["steps"], row["sketch"]), {k: row[k] for k in KEYS[:3]})
        line[row["metric"]] = row["value"]
    columns = (*KEYS[:3], "iou", "edges", "kind", "colour", "slower")
    heads = ("model", "steps", "sketch", "IoU", "edges F", "kind", "colour", "time with / without")
    goal = {"model": "*target*", "steps": None, "sketch": "followed"} | TARGETS
    return report.markdown([*lines.values(), goal], columns, heads)


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.control", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--models", nargs="+", default=list(MODELS), help="MODEL:STEPS")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="sampling seeds")
    p.add_argument("--pictures", type=int, default=48, help="held-out toys")
    p.add_argument("--studio", help="the studio folder")
    args = p.parse_args(argv)
    use_studio(args.studio)
    try:
        judge, toys = judge_named("judge-b"), drawn(args.pictures)
        for entry in args.models:
            id, _, steps = entry.partition(":")
            known = report.record(report.RESULTS / "control.json", rows(id, int(steps), toys, judge, args.seeds), KEYS)
            report.publish("control", table(known))
            print(entry, flush=True)
        for toy in toys:
            inputs.forget(toy.drawing)
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.control: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
