"""Control inputs drawn from exact lines, anew at every training step, so that imprecise drawings work too.

Sketches have gaps, wobble, and vary in the width of their lines. Each is a function of the sample's random numbers.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.cache import SHARD, Cached
from distill.method import Rows
from models.control import CELLS, areas
from models.manifest import CONTROLS

OUTLINE_ONLY = 0.4  # share of the sketches without inner lines
WHOLE = 0.3  # share of the sketches without gaps
GAP = 0.38  # the highest threshold on a smooth noise in [0, 1] below which lines are missing
WOBBLE = 2.5  # the largest standard deviation of the displacement, in 128ths of the side
PEN = 4.0  # the widest line is 1 + 2 PEN, in 128ths of the side
VARIED = 1.5  # range by which PEN varies within a sketch


def upsampled(noise: Tensor, side: int) -> Tensor:
    return F.interpolate(noise, (side, side), mode="bicubic", align_corners=True)


def wobbly(lines: Tensor, rng: Rows) -> Tensor:
    """Lines [B, 1, H, W], displaced by a smooth random field."""
    b, side = len(lines), lines.shape[-1]
    amount = WOBBLE * side / 128 * rng.rand(b, 1) * 2 / side  # grid_sample's frame is two wide
    shift = upsampled(rng.randn(b, 2, 6, 6), side) * amount[..., None, None]
    axis = torch.linspace(-1 + 1 / side, 1 - 1 / side, side, device=lines.device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([x, y], -1) + shift.permute(0, 2, 3, 1)
    return F.grid_sample(lines, grid, align_corners=False).mul(1.6).clamp(max=1)


def thickened(lines: Tensor, width: Tensor) -> Tensor:
    """Lines [B, 1, H, W] widened to 1 + 2 `width` pixels. `width` [B, 1, H, W] is at least 0."""
    out, wider = lines, lines
    for k in range(int(np.ceil(float(width.max())))):
        wider = F.max_pool2d(wider, 3, 1, 1)
        out = torch.lerp(out, wider, (width - k).clamp(0, 1))
    return out


def sketch(outline: Tensor, edges: Tensor, rng: Rows) -> Tensor:
    """A sketch [B, 1, H, W] from outlines and edges of that shape, all in [0, 1] with 1 for ink."""
    b, side = len(outline), outline.shape[-1]
    u = rng.rand(b, 5)[..., None, None, None]  # [B, 5, 1, 1, 1]
    lines = torch.where(u[:, 0] < OUTLINE_ONLY, outline, edges)
    missing = upsampled(rng.rand(b, 1, 9, 9), side) < GAP * u[:, 1] * (u[:, 2] > WHOLE)
    lines = wobbly(lines.masked_fill(missing, 0), rng)
    pen = PEN * side / 128 * u[:, 3] ** 2 + VARIED * (upsampled(rng.rand(b, 1, 5, 5), side) - 0.5)
    return thickened(lines, pen.clamp(min=0)) * (0.7 + 0.3 * u[:, 4])


def control_input(conditions: Tensor, pictures: Tensor, kinds: Tensor, rng: Rows) -> Tensor:
    """Each sample's control input, [B, 3, H, W] in [0, 1].

    conditions: [B, 3, H, W] in [0, 1], stacked as in `Lines`. pictures: [B, 3, H, W] in [0, 1].
    kinds: [B], indices of `CONTROLS`.
    """
    outline, edges, depth = conditions.split(1, 1)
    cells = rng.randint(CELLS - 4, CELLS + 5, len(kinds)).tolist()
    blobs = torch.cat([areas(p[None], n) for p, n in zip(pictures, cells, strict=True)])
    options = {"sketch": sketch(outline, edges, rng), "edges": edges, "depth": depth, "colours": blobs}
    every = torch.stack([options[name].expand_as(blobs) for name in CONTROLS])  # [K, B, 3, H, W]
    return every[kinds, torch.arange(len(kinds), device=kinds.device)]


def chosen(known: Tensor, shares: Sequence[float], rng: Rows) -> Tensor:
    """Each sample's kind of control, [B], drawn by `shares` among its known kinds, `known` [B, K] bool."""
    edges = (known * torch.tensor(shares, device=known.device)).cumsum(1)
    return (rng.rand(len(known), 1) * edges[:, -1:] >= edges).sum(1).clamp(max=len(CONTROLS) - 1)


class Steering:
    """Makes control inputs and their kinds for a batch. `shares`: probability of each of `CONTROLS`."""

    def __init__(self, parts: Sequence[Cached], shares: Sequence[float]):
        self.parts, self.shares = {part.name: part for part in parts}, shares

    def __call__(self, drawn: Sequence[tuple[Cached, int, float]], rng: Rows) -> tuple[Tensor, Tensor]:
        where = [(self.parts[part.name], *divmod(i, SHARD)) for part, i, _ in drawn]
        conditions = floats([part.conditions[shard][row] for part, shard, row in where])
        pictures = floats([part.arrays[shard][row] for part, shard, row in where])
        known = torch.ones(len(drawn), len(CONTROLS), dtype=torch.bool)
        known[:, CONTROLS.index("depth")] = conditions[:, 2].flatten(1).any(1)
        kinds = chosen(known, self.shares, rng)
        return control_input(conditions, pictures, kinds, rng), kinds


def floats(pictures: Sequence[np.ndarray]) -> Tensor:
    """uint8 [H, W, 3] each -> [B, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
