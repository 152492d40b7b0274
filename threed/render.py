"""Volume rendering: rays through pixels, and the colour of a field along them.

    C = sum_i T_i a_i c_i + (1 - A) background        a_i = 1 - exp(-density_i delta),  A = sum_i T_i a_i
    T_i = exp(-sum_{j<i} density_j delta)             (NeRF, Mildenhall et al. 2020, Eq. 3)

Cameras are those of models/views.py, from which the teacher's training pictures were rendered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import radians, tan

import torch
from torch import Tensor

from models.views import FOV, Camera, camera_matrix
from threed.field import BOUND, Field, looked_up

SAMPLES = 32  # points on the chord of a ray through the ball


@dataclass(frozen=True)
class Rays:
    origin: Tensor  # [N, 3]
    way: Tensor  # [N, 3], of length 1


@dataclass(frozen=True)
class Seen:
    """The rendering of rays. `colour` is that of the thing times its opacity, without the background."""

    colour: Tensor  # [N, 3]
    opacity: Tensor  # [N]
    depth: Tensor  # [N], mean depth times opacity
    spread: Tensor  # [N], variance of the depth times opacity

    def on(self, background: Tensor) -> Tensor:
        """The colours over backgrounds [N, 3] or [3]."""
        return self.colour + (1 - self.opacity)[:, None] * background


def matrices(cameras: Sequence[Camera]) -> Tensor:
    """The matrix from camera to world of each camera, [K, 4, 4]."""
    return torch.stack([torch.as_tensor(camera_matrix(c), dtype=torch.float32) for c in cameras])


def through(matrix: Tensor, row: Tensor, column: Tensor, size: int) -> Rays:
    """Rays through the centres of pixels of size x size pictures; matrix [N, 4, 4], row and column [N]."""
    half = tan(radians(FOV) / 2)
    x, y = ((column + 0.5) / size * 2 - 1) * half, (1 - (row + 0.5) / size * 2) * half
    local = torch.stack([x, y, -torch.ones_like(x)], -1)
    way = (matrix[:, :3, :3] @ local[:, :, None])[..., 0]
    return Rays(matrix[:, :3, 3], way / way.norm(dim=-1, keepdim=True))


def disc(radius: float) -> float:
    """The radius of the ball in a picture, relative to half of the frame."""
    return tan(torch.asin(torch.tensor(BOUND / radius)).item()) / tan(radians(FOV) / 2)


def chords(rays: Rays) -> tuple[Tensor, Tensor]:
    """The distance at which rays enter the ball and the length inside it, [N] each; length 0 for rays that miss."""
    middle = -(rays.origin * rays.way).sum(-1)
    gap = (rays.origin + middle[:, None] * rays.way).square().sum(-1)
    half = (BOUND**2 - gap).clamp_min(0).sqrt()
    return middle - half, 2 * half


def march(field: Field, rays: Rays, cells: Tensor, jitter: Tensor | float = 0.5, samples: int = SAMPLES) -> Seen:
    """Render rays with `samples` points on each, one in each equal part of its chord; `jitter` [N, samples] in [0, 1).

    cells: the occupied cells; the field is evaluated only there.
    """
    near, chord = chords(rays)
    share = (torch.arange(samples) + jitter) / samples  # [N, S] or [S]
    far = near[:, None] + chord[:, None] * share
    points = rays.origin[:, None] + far[..., None] * rays.way[:, None]  # [N, S, 3]
    inside = (looked_up(cells, points) & (chord > 0)[:, None]).flatten().nonzero()[:, 0]
    density, colour = field(points.reshape(-1, 3)[inside])
    n = len(rays.way)
    dense = density.new_zeros(n * samples).index_put((inside,), density).reshape(n, samples)
    paint = colour.new_zeros(n * samples, 3).index_put((inside,), colour).reshape(n, samples, 3)
    thick = dense * (chord / samples)[:, None]
    weight = torch.exp(thick - thick.cumsum(1)) * (1 - torch.exp(-thick))  # T_i a_i
    opacity, depth = weight.sum(1), (weight * far).sum(1)
    mean = depth / opacity.clamp_min(1e-4)
    spread = (weight * (far - mean.detach()[:, None]).square()).sum(1)
    return Seen((weight[..., None] * paint).sum(1), opacity, depth, spread)


@torch.no_grad()
def picture(field: Field, camera: Camera, size: int, cells: Tensor) -> tuple[Tensor, Tensor]:
    """The picture of a field: colour [3, size, size] without background, and opacity [size, size]."""
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    matrix = matrices([camera]).expand(size * size, 4, 4)
    seen = march(field, through(matrix, row.flatten(), column.flatten(), size), cells)
    return seen.colour.T.reshape(3, size, size), seen.opacity.reshape(size, size)
