"""Fitting of colours on the fixed surface of the mesh (ProlificDreamer, Sec. 3.3).

Each ray meets one point, so a step costs a fraction of a step through the field, and nothing is smeared along the ray.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from threed.field import BOUND, Field, blurred
from threed.fit import MOST, pick
from threed.pool import Pictures
from threed.regularise import COLOUR, huber
from threed.render import through
from threed.surface import Surface

SIDE, RATE, RAYS, BLUR = 96, 0.05, 6144, 0.6


@dataclass
class Skin:
    """Colour logits in space; only those on the surface are used."""

    logits: Tensor  # [1, 3, S, S, S], a leaf
    adam: torch.optim.Adam
    pool: Pictures

    @classmethod
    def new(cls, field: Field, pool: Pictures) -> "Skin":
        return cls.of(field.logits(SIDE), pool)

    @classmethod
    def of(cls, logits: Tensor, pool: Pictures) -> "Skin":
        leaf = logits.clone().requires_grad_(True)
        return cls(leaf, torch.optim.Adam([leaf], lr=RATE, betas=(0.9, 0.99), eps=1e-15, fused=True), pool)

    def colours(self, points: Tensor) -> Tensor:
        """The colours [N, 3] in [0, 1] at points [N, 3]."""
        where = (points / BOUND).reshape(1, 1, 1, -1, 3)
        sampled = F.grid_sample(self.logits, where, mode="bilinear", padding_mode="border", align_corners=True)
        return torch.sigmoid(sampled.reshape(3, -1)).T

    def keep(self, new: Pictures) -> None:
        self.pool = Pictures.joined([self.pool, new]).newest(MOST)

    def paint(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self.colours(torch.from_numpy(points).float()).numpy()


def step(skin: Skin, surface: Surface, generator: torch.Generator) -> Tensor:
    """One step on random rays of the pool that hit the surface and whose pixel shows the thing. Returns the loss."""
    which, row, column = pick(skin.pool, generator, RAYS)
    rays = through(skin.pool.matrix[which], row, column, skin.pool.pixels.shape[-1])
    hits = surface.hit(rays.origin.numpy(), rays.way.numpy())
    met = torch.from_numpy(hits.ray)
    points = torch.from_numpy(surface.points(hits))
    target = skin.pool.pixels[which, :, row, column][met]
    shown = skin.pool.cover[which, row, column][met]
    loss = (shown * huber(skin.colours(points), target, COLOUR).mean(-1)).sum() / shown.sum().clamp_min(1)
    skin.adam.zero_grad()
    loss.backward()
    skin.adam.step()
    return loss.detach()


def fit(skin: Skin, surface: Surface, steps: int, generator: torch.Generator) -> float:
    """The steps of one round, then smoothing of the noise of random rays. Returns the mean loss."""
    losses = [step(skin, surface, generator) for _ in range(steps)]
    with torch.no_grad():
        skin.logits.lerp_(blurred(skin.logits), BLUR)
    return float(torch.stack(losses).mean())
