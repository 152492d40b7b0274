"""A model's predicted picture x0 at every step, from x_t and the network's prediction (Gandikota & Bau 2025, Eq. 2,
there "DT visualisation").

    python -m models.trajectory "a red ball" --models toybox-sd,toybox-hyper --steps 25,4 --seeds 1,2,3 --out grid.png

A lane is a request: a model with its step count, guidance and cures, and one picture for each seed. Its steps are those
of `generate`, so nothing is computed twice. x0 is the one that the loop uses, in fp32 for every kind of prediction.
Lanes are aligned by log-SNR, not by the index of a step: a student's second step stands beside the base's step of equal
noise.

An early x0 of a base is the mean of all pictures that x_t may become, so it is blurred, and the blur counts in its
distance from the final picture. A curve that rises late therefore does not prove that a model decides late.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import fromarray
from torch import Tensor

from core.paths import use_studio
from models import camera, catalogue, families, strips
from models.denoiser import Cond, pick_device
from models.families import Parts
from models.generate import generate
from models.guidance import Turn
from models.lanes import VARIED, Choice, Lane, product, varied
from models.request import DEFAULT_MODEL, ImageRequest
from models.samplers import Step
from models.schedule import eps_from_x0

VIEWS = {
    "x0": "what the model thinks the picture is",
    "x_t": "what the model sees",
    "noise": "the noise that it thinks is in it",
    "change": "what this step changed of x0, grey where nothing",
    "conditional": "x0 by the prompt alone",
    "unconditional": "x0 by the empty prompt",
}
COMMITTED = 0.9  # share of the final picture at which a run counts as decided


@dataclass(frozen=True)
class Seen:
    """A step of a lane."""

    lane: int
    step: Step
    before: Step | None  # the lane's step before it, of the same pictures


def look(lanes: Sequence[Lane], crew: Mapping[str, Parts]) -> Iterator[Seen]:
    """Every step of every lane, when it is done; close the iterator to stop. `crew`: the parts of all painters, by
    id."""
    for n, lane in enumerate(lanes):
        before: dict[int, Step] = {}
        for event in generate(crew[lane.request.model], lane.request, crew):
            if isinstance(event, Step):
                yield Seen(n, event, before.get(event.first))
                before[event.first] = event


def at(step: Step) -> Tensor:
    return torch.full((len(step.x_t),), step.t, device=step.x_t.device)


@torch.no_grad()
def latents(seen: Seen, view: str, cond: Cond | None = None) -> Tensor:
    """The latents [B, C, h, w] of one of VIEWS. `cond`: the prompts, or the empty ones, for the views of the two halves
    of guidance, which take another call of the network. Raises ValueError for an unknown view."""
    step = seen.step
    match view:
        case "x0":
            return step.x0.float()
        case "x_t":
            return step.x_t.float()
        case "noise":
            return eps_from_x0(step.schedule, step.x_t.float(), step.x0.float(), at(step))
        case "change":
            return step.x0.float() - (step.x_t if seen.before is None else seen.before.x0).float()
        case "conditional" | "unconditional":
            assert cond is not None, "a half of guidance needs a prompt"
            own = step.turn.w if getattr(step.turn.net, "takes_guidance", False) else None
            prompts = step.turn.prompts if view == "conditional" else ()
            return Turn(step.turn.net, own, prompts=prompts).x0(step.schedule, step.x_t, at(step), cond, None)
    raise ValueError(f"view {view!r}; valid: {', '.join(VIEWS)}")


def prompts(parts: Parts, request: ImageRequest, step: Step, empty: bool) -> Cond:
    """The prompt embeddings of a step's pictures, or as many empty ones."""
    which = slice(step.first, step.first + len(step.x_t))
    texts, cameras = request.texts()[which], request.cameras()[which]
    if empty:
        return camera.told(parts.row, parts.text([request.negative] * len(texts)), [None] * len(texts))
    return camera.told(parts.row, parts.text(texts), cameras)


@torch.no_grad()
def shown(parts: Parts, request: ImageRequest, seen: Seen, view: str) -> Iterator[Tensor]:
    """The cells of a step, uint8 [3, H, W] each: one for each of its pictures, once it is decoded. A change decodes to
    mid grey where nothing changed."""
    halves = view in ("conditional", "unconditional")
    cond = prompts(parts, request, seen.step, view == "unconditional") if halves else None
    z = latents(seen, view, cond)
    grey = decoded(parts, torch.zeros_like(z[:1])) if view == "change" else 0.0
    for one in z.split(1):
        yield ((decoded(parts, one) - grey)[0].div(2).add(0.5).nan_to_num(0.5).clamp(0, 1) * 255).round().byte().cpu()


@torch.no_grad()
def decoded(parts: Parts, z: Tensor) -> Tensor:
    """Pictures in [-1, 1] of latents."""
    return parts.vae.decode(z.to(parts.vae_dtype) / parts.vae.config.scaling_factor, return_dict=False)[0].float()


def columns(steps: Sequence[Sequence[float]]) -> list[list[int]]:
    """The column of each step of each lane, from the log-SNR of the steps. The lane with most steps has one column for
    each; any other step takes the nearest column that its lane has not passed."""
    longest = max(steps, key=len)
    out = []
    for own in steps:
        placed: list[int] = []
        for n, log_snr in enumerate(own):
            low, high = (placed[-1] + 1 if placed else 0), len(longest) - (len(own) - n)
            placed.append(min(range(low, high + 1), key=lambda c: abs(longest[c] - log_snr)))
        out.append(placed)
    return out


@dataclass(frozen=True)
class Curve:
    """A value at each step, with its uncertainty: 1.96 standard errors over the pictures."""

    t: list[float]
    log_snr: list[float]
    value: list[float]
    error: list[float]


def _curve(steps: Sequence[Step], rows: Tensor) -> Curve:
    """The curve of `rows` [steps, pictures], averaged over the pictures."""
    n = rows.shape[1]
    error = 1.96 * rows.std(1) / n**0.5 if n > 1 else torch.zeros(len(rows))
    return Curve([s.t for s in steps], [s.log_snr for s in steps], rows.mean(1).tolist(), error.tolist())


def commitment(steps: Sequence[Step]) -> Curve:
    """The share of the final picture that is in x0 at each step: 1 - |x0 - final|^2 / |final - mean|^2, in latents.

    The mean is over the final pictures of the lane, or zero where there is one; an x0 equal to the mean has 0.
    """
    final = steps[-1].x_s.float()
    centre = final.mean(0) if len(final) > 1 else torch.zeros_like(final[0])
    whole = (final - centre).flatten(1).pow(2).sum(1).clamp_min(1e-12)
    rows = [1 - (s.x0.float() - final).flatten(1).pow(2).sum(1) / whole for s in steps]
    return _curve(steps, torch.stack(rows).cpu())


def spread(steps: Sequence[Step]) -> Curve | None:
    """The difference between the lane's pictures at each step: the mean root-mean-square distance between their x0."""
    n = len(steps[0].x0)
    if n < 2:
        return None
    rows = []
    for s in steps:
        x0, total = s.x0.float().flatten(1), torch.zeros(n, device=s.x0.device)
        for a, b in combinations(range(n), 2):
            distance = (x0[a] - x0[b]).pow(2).mean().sqrt()
            total[a] += distance
            total[b] += distance
        rows.append(total / (n - 1))
    return _curve(steps, torch.stack(rows).cpu())


def decided(curve: Curve) -> float:
    """The share of the run, 1 - t, at which x0 has COMMITTED of the final picture; linear between two steps."""
    points = list(zip([1 - t for t in curve.t], curve.value, strict=True))
    if points[0][1] >= COMMITTED:
        return points[0][0]
    for (a, low), (b, high) in pairwise(points):
        if high >= COMMITTED:
            return a + (b - a) * (COMMITTED - low) / (high - low)
    return 1.0


def joined(parts_of: Sequence[Step]) -> Step:
    """The same step of several batches of a lane, as one step."""
    first = parts_of[0]
    x_t, x0, x_s = (torch.cat([getattr(s, name) for s in parts_of]) for name in ("x_t", "x0", "x_s"))
    return replace(first, x_t=x_t, x0=x0, x_s=x_s, past=(), first=0)


@dataclass
class Run:
    """The steps of a lane so far, for curves, sheets and files."""

    lane: Lane
    steps: dict[int, list[Step]]  # by index: its batches, in order

    def whole(self) -> list[Step]:
        return [joined(self.steps[i]) for i in sorted(self.steps)]


def collect(lanes: Sequence[Lane], crew: Mapping[str, Parts]) -> list[Run]:
    done = [Run(lane, {}) for lane in lanes]
    for seen in look(lanes, crew):
        done[seen.lane].steps.setdefault(seen.step.i, []).append(seen.step)
    return done


def facts(run: Run) -> dict[str, Any]:
    """The schedule and curves of a lane, for JSON."""
    steps = run.whole()
    committed, different = commitment(steps), spread(steps)
    return {
        "request": run.lane.request.to_dict(),
        "seeds": run.lane.request.seeds(),
        "steps": [
            {"step": s.i, "t": s.t, "log_snr": s.log_snr, "sigma": float(s.schedule.sigma(at(s)[:1])),
             "alpha": float(s.schedule.alpha(at(s)[:1])), "model": s.painter}
            for s in steps
        ],
        "commitment": vars(committed),
        "decided_at": decided(committed),
        "spread": None if different is None else vars(different),
    }  # fmt: skip


def save_raw(folder: Path, done: Sequence[Run]) -> None:
    """Write `lane-N.npz` with x_t and x0 [steps, pictures, C, h, w] and the final latents, and `schedule.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, run in enumerate(done):
        steps = run.whole()
        arrays: dict[str, Any] = {
            name: torch.stack([getattr(s, name).float().cpu() for s in steps]).numpy() for name in ("x_t", "x0")
        }
        np.savez_compressed(folder / f"lane-{n}.npz", **arrays, final=steps[-1].x_s.float().cpu().numpy())
    (folder / "schedule.json").write_text(json.dumps([facts(run) for run in done], indent=1))


def whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be whole numbers with commas, such as 1,2,3") from None


def axis(text: str) -> tuple[str, list[float]]:
    name, _, values = text.rpartition("=")
    try:
        return name, [float(part) for part in values.split(",")]
    except ValueError:
        name = "size"
    raise argparse.ArgumentTypeError(f"{text!r} must be a name and numbers, such as guidance=1,3.5 or size=-2,0,2")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("models.trajectory", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("prompt", help="what to paint")
    p.add_argument("--models", default=DEFAULT_MODEL, help="ids, separated by commas")
    p.add_argument("--steps", type=whole_numbers, help="one for each model, in order (default: the models' own)")
    p.add_argument("--seeds", type=whole_numbers, default=[0], help="values, separated by commas")
    p.add_argument(
        "--vary",
        type=axis,
        metavar="NAME=V,V",
        help=f"a lane for each value of {', '.join(VARIED)}, or of a slider, such as size=-2,0,2",
    )
    p.add_argument("--view", default="x0", choices=list(VIEWS), help="what a cell shows")
    p.add_argument("--out", type=Path, default=Path("grid.png"), help="grid .png, or animation .gif, .webp, .mp4")
    p.add_argument("--raw", type=Path, metavar="DIR", help="x_t and x0 of every step as .npz, and schedule.json")
    p.add_argument(
        "--json", action="store_true", help="one JSON object a cell, its x0 as a PNG in a folder beside --out"
    )
    p.add_argument("--device", default="auto", help="auto, cpu or cuda")
    p.add_argument("--studio", help="the studio folder")
    return p


def asked_for(args: argparse.Namespace) -> list[Lane]:
    models = [m.strip() for m in args.models.split(",")]
    if args.steps and len(args.steps) != len(models):
        raise ValueError(f"--steps has {len(args.steps)} numbers for {len(models)} models; give one for each")
    choices = varied(*args.vary) if args.vary else [Choice("", {})]
    pairs = list(zip(models, args.steps or [None] * len(models), strict=True))
    return product(ImageRequest(args.prompt, model=models[0], base_steps=0), pairs, choices, args.seeds)


def draw(done: Sequence[Run], crew: Mapping[str, Parts], view: str) -> tuple[list[strips.Row], list[str], list[dict]]:
    """The rows and column heads of a sheet, and a dict for each cell, with its picture. Rows are in the order of lanes
    and seeds."""
    wholes = [run.whole() for run in done]
    places = columns([[s.log_snr for s in steps] for steps in wholes])
    longest = max(wholes, key=len)
    rows, cells = [], []
    for n, (run, steps) in enumerate(zip(done, wholes, strict=True)):
        parts, request = crew[run.lane.request.model], run.lane.request
        drawn = [
            [one.permute(1, 2, 0).numpy() for one in shown(parts, request, Seen(n, s, before), view)]
            for s, before in zip(steps, [None, *steps[:-1]], strict=True)
        ]
        for k, seed in enumerate(request.seeds()):
            made = {c: fromarray(p[k]) for c, p in zip(places[n], drawn, strict=True)}
            rows.append(strips.Row(f"{run.lane.label}, seed {seed}", made))
            for s, column in zip(steps, places[n], strict=True):
                fact = {"model": s.painter, "seed": seed, "step": s.i, "t": s.t, "log_snr": s.log_snr}
                cells.append(fact | {"lane": n, "picture": made[column]})
    return rows, [f"log-SNR {s.log_snr:.1f}" for s in longest], cells


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    use_studio(args.studio)
    try:
        strips.check(args.out)
        lanes = asked_for(args)
        ids = {id for lane in lanes for id in lane.request.models()}
        for id in ids:
            if reason := catalogue.available(catalogue.get(id)):
                raise ValueError(f"{id} can't run here. {reason}")
        crew = families.load_all(ids, pick_device(args.device))
        done = collect(lanes, crew)
        rows, heads, cells = draw(done, crew, args.view)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        strips.write(args.out, rows, heads)
        if args.raw:
            save_raw(args.raw, done)
        tell(args, done, cells)
    except (ValueError, OSError) as e:
        print(f"models.trajectory: {e}", file=sys.stderr)
        return 2
    return 0


def tell(args: argparse.Namespace, done: Sequence[Run], cells: Sequence[dict]) -> None:
    """Print a JSON line for each cell, or a line of text for each lane."""
    if not args.json:
        for run in done:
            where = decided(commitment(run.whole()))
            print(f"{run.lane.label}: {COMMITTED:.0%} of the final picture after {where:.0%} of the way")
        print(args.out)
        return
    home = args.out.with_suffix("")
    home.mkdir(parents=True, exist_ok=True)
    for cell in cells:
        path = home / f"{cell['lane']}-{cell['seed']}-{cell['step']}.png"
        path.write_bytes(strips.png(cell["picture"]))
        print(json.dumps({k: v for k, v in cell.items() if k not in ("picture", "lane")} | {"path": str(path)}))


if __name__ == "__main__":
    sys.exit(main())
