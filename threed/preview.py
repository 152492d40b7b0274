"""Preview pictures of a run: colours, normals and opacity."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.views import Camera
from threed.export import PAPER
from threed.fit import Particle
from threed.render import SAMPLES, march, matrices, through

if TYPE_CHECKING:
    from threed.making import Making

VIEWS = (Camera(20.0, 18.0), Camera(110.0, 18.0), Camera(200.0, 18.0), Camera(290.0, 18.0))
SIZE, NUDGE = 96, 0.04
SEEDS, LARGE = "seeds.png", 160  # the picture of all candidates side by side: its file, and the pixels of each


@torch.no_grad()
def looks(one: Particle, camera: Camera, size: int = SIZE) -> Tensor:
    """Colours, normals and opacity, one below the other, [3, 3 size, size]."""
    row, column = (x.flatten() for x in torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"))
    rays = through(matrices([camera]).expand(size**2, 4, 4), row, column, size)
    seen = march(one.field, rays, one.cells, samples=SAMPLES)
    points = rays.origin + rays.way * (seen.depth / seen.opacity.clamp_min(1e-4))[:, None]
    slope = torch.stack(
        [one.field.density(points - d) - one.field.density(points + d) for d in torch.eye(3) * NUDGE], -1
    )
    normal = slope / slope.norm(dim=-1, keepdim=True).clamp_min(1e-6) / 2 + 0.5
    cover = seen.opacity[:, None]
    parts = (seen.on(torch.tensor(PAPER)), normal * cover + 0.5 * (1 - cover), cover.expand(-1, 3))
    return torch.cat([p.T.reshape(3, size, size) for p in parts], 1)


def beside(things: Sequence[Particle]) -> Image.Image:
    """One view of each candidate side by side, so that a person can pick one."""
    return image(torch.cat([looks(one, VIEWS[0], LARGE)[:, :LARGE] for one in things], 2))


def sheet(making: "Making") -> Image.Image:
    """Four views of the field that is being fitted, or of the best."""
    stage, number = making.where()
    which = number % making.request.seeds if stage == "shape" else making.best
    return image(torch.cat([looks(making.particles[which], camera) for camera in VIEWS], 2))


def image(x: Tensor) -> Image.Image:
    return Image.fromarray((x.permute(1, 2, 0).clamp(0, 1).numpy() * 255).astype(np.uint8))
