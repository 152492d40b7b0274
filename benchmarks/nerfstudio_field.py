"""A step of our field beside one of nerfstudio's GenerfactoField, at equal rays and samples, without guidance.

    .venv-nerfstudio/bin/python -m benchmarks.nerfstudio_field [--rounds 20]

`make nerfstudio` makes that environment. A step renders the same random rays on the same target colours, goes back
through them and lets Adam move the weights. Both are timed in turn, in one run on one thread; medians are printed. Our
grid is the fine one, 64^3, with a quarter of its cells occupied, as in a run, and with all of them.
"""

import argparse
import statistics
import sys
import time

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.fields.generfacto_field import GenerfactoField
from torch import Tensor

from models.views import Camera
from threed.field import BOUND
from threed.fit import RATE, RAYS, SIDES, Particle, draws
from threed.render import SAMPLES, march, matrices, through

OCCUPIED = 0.25


def ours(one: Particle, rays, target: Tensor, cells: Tensor) -> None:
    seen = march(one.field, rays, cells)
    loss = (seen.on(torch.ones(3)) - target).square().mean()
    one.adam.zero_grad()
    loss.backward()
    one.adam.step()


def theirs(field: GenerfactoField, adam: torch.optim.Adam, rays, target: Tensor) -> None:
    n, far = len(target), -(rays.origin * rays.way).sum(-1, keepdim=True)
    edges = far[:, None] + torch.linspace(-BOUND, BOUND, SAMPLES + 1)[None, :, None]
    bundle = RayBundle(rays.origin, rays.way, torch.ones(n, 1), nears=edges[:, 0], fars=edges[:, -1])
    samples = bundle.get_ray_samples(edges[:, :-1], edges[:, 1:])
    out = field(samples)
    weights = samples.get_weights(out[FieldHeadNames.DENSITY])
    rgb = (weights * out[FieldHeadNames.RGB]).sum(1) + 1 - weights.sum(1)
    loss = (rgb - target).square().mean()
    adam.zero_grad()
    loss.backward()
    adam.step()


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(
        "benchmarks.nerfstudio_field", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    p.add_argument("--rounds", type=int, default=20)
    args = p.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    chance, size = draws(0, "rays"), 96
    row, column = (torch.randint(size, (RAYS,), generator=chance) for _ in range(2))
    rays = through(matrices([Camera(30.0, 20.0)]).expand(RAYS, 4, 4), row, column, size)
    target = torch.rand(RAYS, 3, generator=chance)
    one = Particle.new(SIDES[-1])
    some = torch.rand(one.cells.shape, generator=chance) < OCCUPIED
    box = torch.tensor([[-BOUND] * 3, [BOUND] * 3])
    field = GenerfactoField(box, implementation="torch")
    adam = torch.optim.Adam(field.parameters(), RATE / 10)
    work = {
        "our grid, a quarter of the cells": lambda: ours(one, rays, target, some),
        "our grid, all cells": lambda: ours(one, rays, target, torch.ones_like(some)),
        "GenerfactoField": lambda: theirs(field, adam, rays, target),
    }
    spent: dict[str, list[float]] = {name: [] for name in work}
    for number in range(args.rounds + 1):
        for name, step in work.items():
            begun = time.perf_counter()
            step()
            if number:  # the first warms up
                spent[name].append(time.perf_counter() - begun)
    for name, seconds in spent.items():
        print(f"{name}: {1000 * statistics.median(seconds):.1f} ms a step of {RAYS:,} rays x {SAMPLES} samples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
