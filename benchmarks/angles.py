"""Whether a teacher with a camera turns the thing: the angles that a judge reads off its pictures.

    python -m benchmarks.angles --model toybox-sd-views [--kinds 13] [--seeds 3] [--studio DIR]

The judge of angles is `judge-b`, which gives no rewards, trained further here on renders with known cameras. It reads a
sine and a cosine for each kind, in a few minutes of one core, and stays in the studio's cache. Rows of
benchmarks/results/angles.json have model, kind, metric, value, n; kind is "" for all:

    within 20     share of pictures whose angle is at most 20 degrees off
    error         median error in degrees
    kind, colour  shares that `judge-b` as it is reads right

Beside the model are `renders` (true renders of unseen scenes: the ceiling) and `chance` (the same pictures with each
other's cameras: the floor). Each thing is painted from twelve sides, from one noise.
"""

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks import report
from core.paths import ROOT, cache, use_studio
from distill.data.toys.kinds import FACED
from distill.data.toys.render import render
from distill.data.toys.scene import Scene, Thing
from distill.world import judge_named, pixels
from evals.judges import FEATURES, Judge
from models import catalogue, families
from models.generate import Image, generate
from models.law import PATTERNS
from models.palette import BACKGROUNDS, COLOURS, UNSEEN
from models.request import ImageRequest
from models.views import LEVEL, Camera

RESULTS, PAGE = ROOT / "benchmarks/results/angles.json", ROOT / "docs/methods/camera.md"
KINDS = (*sorted(FACED), "mug", "teapot")  # that look different from every side
HANDLED = {"mug", "teapot"}
ANGLES = 12  # pictures of one thing
RENDERS, EPOCHS, BATCH, RATE = 7800, 5, 64, 1e-3  # of the judge's training
NEAR = 20.0  # degrees
SHOWN = ("within 20", "error", "kind", "colour")


class Angles(nn.Module):
    """Pictures [B, 3, 128, 128] and indices of their kinds [B] -> sine and cosine of the azimuth, [B, 2]."""

    def __init__(self, judge: Judge):
        super().__init__()
        self.judge = copy.deepcopy(judge).requires_grad_(True)
        self.head = nn.Linear(FEATURES, 2 * len(KINDS))

    def forward(self, pictures: Tensor, kinds: Tensor) -> Tensor:
        both = self.head(torch.relu(self.judge.features(pictures))).view(-1, len(KINDS), 2)
        return both[torch.arange(len(kinds)), kinds]


def scene(rng: np.random.Generator, kind: str) -> Scene:
    """A scene of one big thing of this kind, seen from anywhere around it."""
    background = str(rng.choice(list(BACKGROUNDS)))
    colour = str(rng.choice([c for c in COLOURS if (c, background) not in UNSEEN]))
    pattern = str(rng.choice(list(PATTERNS), p=list(PATTERNS.values())))
    camera = Camera(float(rng.uniform(-180, 180)), float(rng.uniform(*LEVEL)))
    return Scene((Thing(kind, colour, pattern),), background, camera)


def renders(n: int, seed: int) -> tuple[np.ndarray, Tensor, Tensor]:
    """Pictures uint8 [n, 128, 128, 3] of all kinds in turn, the indices of their kinds, and their azimuths [n]."""
    rng = np.random.default_rng(seed)
    scenes = [scene(rng, KINDS[i % len(KINDS)]) for i in range(n)]
    azimuths = torch.tensor([s.camera.azimuth for s in scenes])
    return np.stack([render(s) for s in scenes]), torch.arange(n) % len(KINDS), azimuths


def circle(degrees: Tensor) -> Tensor:
    """[N] -> [N, 2]: sine and cosine."""
    return torch.stack([degrees.deg2rad().sin(), degrees.deg2rad().cos()], 1)


def trained() -> Angles:
    """The judge of angles; trained where the studio has none yet."""
    net, path = Angles(judge_named("judge-b")), cache() / "angles.safetensors"
    if path.exists():
        net.load_state_dict(load_file(path))
        return net.eval()
    print(f"training the judge of angles on {RENDERS:,} renders", flush=True)
    pictures, kinds, azimuths = renders(RENDERS, seed=1)
    chance, steps = torch.Generator().manual_seed(0), EPOCHS * RENDERS // BATCH
    optimiser = torch.optim.AdamW(net.parameters(), RATE)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(RENDERS, (BATCH,), generator=chance)
        optimiser.zero_grad()
        loss = (net(pixels(pictures[rows]), kinds[rows]) - circle(azimuths[rows])).square().mean()
        loss.backward()
        optimiser.step()
        rate.step()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, path)
    return net.eval()


@torch.no_grad()
def read(net: Angles, pictures: Tensor, kinds: Tensor) -> Tensor:
    """The azimuths [N] in degrees that the judge reads off pictures [N, 3, 128, 128] in [-1, 1]."""
    both = torch.cat([net(*rows) for rows in zip(pictures.split(64), kinds.split(64), strict=True)])
    return torch.atan2(both[:, 0], both[:, 1]).rad2deg()


def errors(net: Angles, pictures: np.ndarray, kinds: Tensor, azimuths: Tensor) -> Tensor:
    """Degrees [N] between the angle that the judge reads and the true one."""
    return ((read(net, pixels(pictures), kinds) - azimuths + 180) % 360 - 180).abs()


def painted(model: str, kinds: Sequence[str], seeds: int) -> tuple[np.ndarray, list[str], list[str], Tensor]:
    """Pictures of each kind from all around, with their kinds, colours and azimuths."""
    parts, colours = families.load(catalogue.get(model)), [c for c in COLOURS if c not in ("white", "black", "grey")]
    pictures, names, hues, azimuths = [], [], [], []
    for seed in range(seeds):
        for k, kind in enumerate(kinds):
            colour = colours[(3 * seed + k) % len(colours)]
            request = ImageRequest(
                prompt=f"a {colour} {kind}",
                model=model,
                seed=seed,
                num_images=ANGLES,
                azimuth=-165.0,
                turn=360 / ANGLES,
            )
            pictures += [np.asarray(e.picture) for e in generate(parts, request) if isinstance(e, Image)]
            azimuths += [camera.azimuth for camera in request.cameras()]
            names += [kind] * ANGLES
            hues += [colour] * ANGLES
    return np.stack(pictures), names, hues, torch.tensor(azimuths)


def figures(model: str, kinds: Sequence[str], columns: dict[str, Tensor]) -> list[report.Row]:
    """The rows of a model: of all pictures, of those with a handle, and of each kind."""
    groups = {"": set(kinds), "mug and teapot": HANDLED & set(kinds)} | {kind: {kind} for kind in sorted(set(kinds))}
    rows = []
    for group, members in groups.items():
        mine = torch.tensor([kind in members for kind in kinds])
        if not mine.any():
            continue
        for metric, values in columns.items():
            value = values[mine].float().median() if metric == "error" else values[mine].float().mean()
            rows.append(
                {"model": model, "kind": group, "metric": metric, "value": round(float(value), 3), "n": int(mine.sum())}
            )
    return rows


def table(rows: list[report.Row]) -> str:
    lines: dict[tuple, report.Row] = {}
    for row in rows:
        if row["kind"] in ("", "mug and teapot"):
            line = lines.setdefault(
                (row["model"], row["kind"]), {"model": row["model"], "things": row["kind"] or "all", "n": row["n"]}
            )
            line[row["metric"]] = row["value"] if row["metric"] == "error" else float(f"{100 * row['value']:.3g}")
    return report.markdown(list(lines.values()), ["model", "things", "n", *SHOWN])


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.angles", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model", default="toybox-sd-views")
    p.add_argument("--kinds", type=int, default=len(KINDS), help="how many, from the first on")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--docs", type=Path, default=PAGE, help="the page with the table")
    p.add_argument("--studio")
    args = p.parse_args(argv)
    use_studio(args.studio)
    net, judge = trained(), judge_named("judge-b")
    pictures, names, colours, azimuths = painted(args.model, KINDS[: args.kinds], args.seeds)
    index = torch.tensor([KINDS.index(kind) for kind in names])
    real, real_index, real_azimuths = renders(26 * len(KINDS), seed=2)
    _, answers = judge.read(pixels(pictures))
    right = {"kind": names, "colour": colours}
    others = azimuths[torch.randperm(len(azimuths), generator=torch.Generator().manual_seed(0))]
    off, chance = (errors(net, pictures, index, angles) for angles in (azimuths, others))
    shares = {k: answers[k] == torch.tensor([judge.classes[k].index(v) for v in values]) for k, values in right.items()}
    rows = figures(args.model, names, {"within 20": off <= NEAR, "error": off, **shares})
    rows += figures(f"{args.model}, chance", names, {"within 20": chance <= NEAR, "error": chance})
    off = errors(net, real, real_index, real_azimuths)
    rows += figures("renders", [KINDS[i] for i in real_index], {"within 20": off <= NEAR, "error": off})
    known = report.record(RESULTS, rows, ("model", "kind", "metric"))
    print(table(known))
    args.docs.write_text(report.insert(args.docs.read_text(encoding="utf-8"), "angles", table(known)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
