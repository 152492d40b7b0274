"""Pictures in half precision beside those in single precision: how much they differ, what is right in them, their time.

    python -m benchmarks.precision [--models toybox-sprint:1 …] [--seeds 0 1 2] [--pictures 192] [--threads 1]

OpenVINO computes both, of the same seeds and prompts (a colour and a kind of held-out toys). `kind` and `colour` are
the shares that `judge-b` reads right. `dB` is the mean PSNR between a picture's two precisions, `worst` the least.
`one` and `eight` are the milliseconds of a whole request for one picture and for eight, measured in turns. `gain` is
those of single divided by those of half precision. Rows go to results/precision.json.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from PIL.Image import Image as Picture

from benchmarks import report, scoring
from benchmarks.latency import rounds
from core.paths import use_studio
from distill.data.toys import prompt, scene_at
from distill.data.toys.scene import Scene
from distill.world import judge_named, pixels
from evals.judges import Judge
from evals.metrics import psnr
from models import catalogue, families, openvino
from models.families import Parts
from models.generate import Image, generate
from models.precision import HALF, SINGLE, precisions
from models.request import ImageRequest

KEYS = ("model", "steps", "precision", "metric", "threads")
MODELS = ("toybox-sprint:1", "toybox-sprint:4", "toybox-hyper:1", "toybox-hyper:2", "toybox-disback:1", "toybox-dmd2:4")
FIRST = 600_000  # index of the first scene; no other benchmark uses these scenes
SEED_STEP = 1_000_003
REPEATS = 15


def painted(parts: Parts, request: ImageRequest) -> list[Picture]:
    return [e.picture for e in generate(parts, request) if isinstance(e, Image)]


def apart(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> list[float]:
    """Decibels between pictures [H, W, 3] of bytes; 60 at most, where hardly a byte differs."""
    return psnr(torch.from_numpy(np.stack(a)), torch.from_numpy(np.stack(b)), 255).clamp(max=60).tolist()


def times(parts: Parts, request: ImageRequest) -> dict[tuple[str, str], float]:
    """Milliseconds of a request by precision and size."""
    sizes = {"one": 1, "eight": 8}
    requests = {
        (precision, name): replace(request, precision=precision, num_images=n)
        for name, n in sizes.items()
        for precision in (SINGLE, HALF)
    }
    return rounds({key: partial(painted, parts, one) for key, one in requests.items()}, REPEATS, parts.device)


def rows(id: str, steps: int, scenes: Sequence[Scene], judge: Judge, seeds: Sequence[int]) -> list[report.Row]:
    parts = families.load_all([id], backend="openvino")[id]
    openvino.serve(parts, "openvino", HALF)
    asked = [prompt(scene, ["colour"]) for scene in scenes]
    shares: dict[str, list[dict[str, float]]] = {SINGLE: [], HALF: []}
    decibels: list[list[float]] = []
    for seed in seeds:
        by = {}
        for precision in shares:
            requests = [
                ImageRequest(text, model=id, steps=steps, seed=(seed * SEED_STEP + k) % 2**31, precision=precision)
                for k, text in enumerate(asked)
            ]
            by[precision] = [np.asarray(painted(parts, request)[0]) for request in requests]
            shares[precision].append(scoring.right(judge, pixels(np.stack(by[precision])), scenes))
        decibels.append(apart(by[SINGLE], by[HALF]))
    spent = times(parts, ImageRequest(asked[0], model=id, steps=steps))
    out, place = [], {"model": id, "steps": steps, "threads": torch.get_num_threads()}
    for precision, runs in shares.items():
        here = place | {"precision": precision}
        for head in runs[0]:
            out.append(here | {"metric": head} | report.over_seeds([100 * run[head] for run in runs], len(scenes)))
        for name in ("one", "eight"):
            ms = spent[precision, name]
            out.append(here | {"metric": name} | report.over_seeds([ms], REPEATS))
            if precision == HALF:
                out.append(here | {"metric": f"gain, {name}"} | report.over_seeds([spent[SINGLE, name] / ms], REPEATS))
    half = place | {"precision": HALF}
    out.append(half | {"metric": "dB"} | report.over_seeds([statistics.fmean(a) for a in decibels], len(scenes)))
    return [*out, half | {"metric": "worst"} | report.over_seeds([min(map(min, decibels))], len(scenes))]


def table(known: Sequence[report.Row]) -> str:
    lines: dict[tuple, report.Row] = {}
    first = [k for k in KEYS if k != "metric"]
    for row in known:
        line = lines.setdefault(tuple(row[k] for k in first), {k: row[k] for k in first})
        line[row["metric"]] = row["value"]
    columns = (*first, "kind", "colour", "dB", "worst", "one", "eight", "gain, one", "gain, eight")
    heads = (*first, "kind %", "colour %", "dB", "worst", "ms, one", "ms, eight", "gain, one", "gain, eight")
    return report.markdown(list(lines.values()), columns, heads)


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.precision", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--models", nargs="+", default=list(MODELS), help="MODEL:STEPS")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="sampling seeds")
    p.add_argument("--pictures", type=int, default=192, help="held-out toys")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--studio", help="the studio folder")
    args = p.parse_args(argv)
    use_studio(args.studio)
    torch.set_num_threads(args.threads)
    try:
        if HALF not in precisions():
            raise ValueError(f"this processor computes in {SINGLE} alone")
        judge = judge_named("judge-b")
        known: list[report.Row] = []
        scenes = [scene_at(0, FIRST + i, "held_out", group="one") for i in range(args.pictures)]
        for entry in args.models:
            id, _, steps = entry.partition(":")
            new = rows(id, int(steps or catalogue.get(id).manifest.default_steps), scenes, judge, args.seeds)
            known = report.record(report.RESULTS / "precision.json", new, KEYS)
            report.publish("precision", table(known))
            print(entry, flush=True)
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.precision: {e}", file=sys.stderr)
        return 2
    print(table(known))
    return 0


if __name__ == "__main__":
    sys.exit(main())
