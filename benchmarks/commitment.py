"""When is the final picture decided? x0 at every step against what the run ends with, of bases and their students.

    python -m benchmarks.commitment [--pictures 8] [--prompts 4] [--again]

The paper's claim (Gandikota and Bau 2025): students have the final structure after a tenth of the way, bases after a
third. Of each step: how much of the final picture is in x0, 1 - |x0 - final|^2 / |final - mean|^2 with the mean of the
prompt's pictures, so that 0 is knowing the prompt alone; in latents, and in the features of `judge-b`, for which blur
counts less; and how often the judge reads the final picture's kind. The way is 1 - t: at a tenth of it stands the x0 of
the last step before. `decided` is the share of the way from which 90 per cent are there. Bands are 95 per cent of
bootstrap draws over pictures.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import questions, report, scoring
from benchmarks.diversity import NAMED, READER, SEED_STEP, STUDENTS
from core.paths import use_studio
from distill.world import judge_named
from models import catalogue, families
from models.families import Parts
from models.lanes import Lane
from models.painters import base_of
from models.request import ImageRequest
from models.samplers import Step
from models.trajectory import COMMITTED, Seen, collect, shown

KEYS = ("model", "steps", "metric")
PLACES = {"a tenth": 0.1, "a third": 1 / 3}
DRAWS, BAND = 1000, (0.025, 0.975)
Curves = dict[str, Tensor]  # by what it is of: [steps, pictures]


def left(there: Tensor, final: Tensor) -> Tensor:
    """1 - |there - final|^2 / |final - mean|^2 of each picture; there [steps, N, D], final [N, D]."""
    whole = (final - final.mean(0)).pow(2).sum(1).clamp_min(1e-12)
    return 1 - (there - final).pow(2).sum(2) / whole


def curves(judge, parts: Parts, lane: Lane, steps: Sequence[Step]) -> Curves:
    """Of the pictures of one prompt."""
    final = steps[-1].x_s.float().flatten(1)
    pixels = torch.stack([torch.stack(list(shown(parts, lane.request, Seen(0, s, None), "x0"))) for s in steps])
    readings = [scoring.read(judge, each) for each in pixels]
    features = torch.stack([r.features for r in readings])
    kinds = [[answer["kind"] for answer in r.answers] for r in readings]
    same = [[float(a == b) for a, b in zip(each, kinds[-1], strict=True)] for each in kinds]
    latents = torch.stack([s.x0.float().flatten(1) for s in steps])
    return {"latents": left(latents, final), "features": left(features, features[-1]), "kind": torch.tensor(same)}


def at(curve: Tensor, way: Sequence[float], place: float) -> Tensor:
    """[pictures] of the last step that begins by then, or of the first."""
    return curve[max((i for i, w in enumerate(way) if w <= place + 1e-6), default=0)]


def decided(curve: Tensor, way: Sequence[float]) -> float:
    """Where the mean over the pictures is first at COMMITTED and stays there."""
    there = (curve.mean(1) >= COMMITTED).tolist()
    last = max((i for i, ok in enumerate(there) if not ok), default=-1)
    return way[min(last + 1, len(way) - 1)]


def banded(figure: Callable[[Tensor], float], n: int, seed: int = 0) -> tuple[float, float, float]:
    """A figure of all pictures, and the band of it over draws of as many."""
    rng = torch.Generator().manual_seed(seed)
    draws = sorted(figure(torch.randint(n, (n,), generator=rng)) for _ in range(DRAWS))
    low, high = (draws[round(share * (DRAWS - 1))] for share in BAND)
    return figure(torch.arange(n)), low, high


def rows_of(name: str, way: Sequence[float], gathered: Curves) -> list[report.Row]:
    rows: list[report.Row] = []
    for what, curve in gathered.items():
        figures: dict[str, Callable[[Tensor], float]] = {
            f"{what} at {place}": lambda which, c=curve, p=p: float(at(c, way, p)[which].mean())
            for place, p in PLACES.items()
        }
        figures[f"{what} decided"] = lambda which, c=curve: decided(c[:, which], way)
        for metric, figure in figures.items():
            value, low, high = (float(f"{v:.4g}") for v in banded(figure, curve.shape[1]))
            place = {"model": name, "steps": len(way), "metric": metric}
            rows.append(place | {"value": value, "low": low, "high": high, "n": curve.shape[1]})
    return rows


@torch.no_grad()
def measured(judge, crew: Mapping[str, Parts], requests: Sequence[ImageRequest]) -> tuple[list[float], Curves]:
    """How far each step is on the way, and the curves of all prompts' pictures."""
    gathered: dict[str, list[Tensor]] = {}
    way: list[float] = []
    for run in collect([Lane(request, "") for request in requests], crew):
        steps = run.whole()
        way = [1 - s.t for s in steps]
        for what, curve in curves(judge, crew[run.lane.request.model], run.lane, steps).items():
            gathered.setdefault(what, []).append(curve)
    return way, {what: torch.cat(each, 1) for what, each in gathered.items()}


def models() -> list[tuple[str, str, dict[str, Any]]]:
    """(name in the table, id, fields): every base as it is served and at guidance 1, and its students of four steps."""
    out: list[tuple[str, str, dict[str, Any]]] = []
    for id in (id for id, counts in STUDENTS.items() if 4 in counts):
        base = base_of(catalogue.get(id))
        if base not in [known for _, known, _ in out]:
            out += [(base, base, {}), (f"{base}, guidance 1", base, {"guidance": 1.0})]
        out.append((id, id, {"steps": 4}))
    return out


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.commitment", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--pictures", type=int, default=8, help="of each prompt")
    p.add_argument("--prompts", type=int, default=4, help="that leave something open")
    p.add_argument("--again", action="store_true", help="measure again what was measured")
    p.add_argument("--studio", type=Path, help="the studio folder")
    args = p.parse_args(argv)
    use_studio(args.studio)
    path, judge, prompts = report.RESULTS / "commitment.json", judge_named(READER), []
    for part, names in enumerate(NAMED):
        count = (args.prompts + 1 - part) // len(NAMED)
        prompts += questions.conditions(count, 1, seed=questions.ASKED + part, names=names)[0]
    done = set() if args.again else {row["model"] for row in report.read(path)}
    for name, id, fields in [row for row in models() if row[0] not in done]:
        requests = [
            ImageRequest(prompt, model=id, seed=n * SEED_STEP, num_images=args.pictures, **fields)
            for n, prompt in enumerate(prompts)
        ]
        rows = rows_of(name, *measured(judge, families.load_all([id]), requests))
        report.record(path, rows, KEYS)
        print(name, {r["metric"]: (r["value"], r["low"], r["high"]) for r in rows}, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
