"""Radiance fields: a density and a colour at every point of a ball of radius BOUND.

The colour of a point does not depend on the view, which fits the lighting of the teacher's pictures. Renderers use only
the interface, so a network can replace the grid.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BOUND = 1.04  # things fit into a ball of radius 1
START, SLOPE, FLOOR = 4.0, 0.7, -4.0  # of the density blob


class Field(Protocol):
    """`side`: of the grid, or its like, that it stores."""

    @property
    def side(self) -> int: ...

    def density(self, points: Tensor) -> Tensor: ...  # [N, 3] -> [N], per unit of length

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]: ...  # density [N] and colour [N, 3] in [0, 1]

    def logits(self, side: int) -> Tensor: ...  # of the colour at the nodes of a grid, [1, 3, side, side, side]


def blob(radius: Tensor) -> Tensor:
    """The initial density before its activation: a cone (Magic3D, Lin et al. 2023, Sec. A)."""
    return (START * (1 - radius / SLOPE)).clamp_min(FLOOR)


def activated(value: Tensor) -> Tensor:
    """The density of a stored value: soft at the start, steep enough for a surface at the end."""
    return 5 * F.softplus(3 * value)


def nodes(side: int) -> Tensor:
    """The positions of a grid's values, [side, side, side, 3] as x, y, z. The first axis is z, as in grid_sample."""
    line = torch.linspace(-BOUND, BOUND, side)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    return torch.stack([x, y, z], -1)


def blurred(values: Tensor) -> Tensor:
    """The mean of each node and its 26 neighbours, [1, C, S, S, S]."""
    return F.avg_pool3d(F.pad(values, (1,) * 6, mode="replicate"), 3, stride=1)


class Grid(nn.Module):
    """A dense grid with a density and three colour logits at each node of a cube, trilinear in between."""

    KEY = "values"
    shares = (1.0,)  # factors of the learning rate

    def __init__(self, side: int):
        super().__init__()
        density = blob(nodes(side).norm(dim=-1))  # [S, S, S]
        self.values = nn.Parameter(
            torch.cat([density[None], torch.zeros(3, side, side, side)])[None]
        )  # [1, 4, S, S, S]

    @property
    def side(self) -> int:
        return self.values.shape[-1]

    def _at(self, values: Tensor, points: Tensor) -> Tensor:
        """Values [1, C, S, S, S] at points [N, 3], as [C, N]."""
        where = (points / BOUND).reshape(1, 1, 1, -1, 3)
        sampled = F.grid_sample(values, where, mode="bilinear", padding_mode="border", align_corners=True)
        return sampled.reshape(values.shape[1], -1)

    def density(self, points: Tensor) -> Tensor:
        return activated(self._at(self.values[:, :1], points)[0])

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        sampled = self._at(self.values, points)
        return activated(sampled[0]), torch.sigmoid(sampled[1:]).T

    def groups(self) -> list[list[nn.Parameter]]:
        """The parameters, in a list for each of `shares`."""
        return [[self.values]]

    @torch.no_grad()
    def logits(self, side: int) -> Tensor:
        return F.interpolate(self.values[:, 1:], (side,) * 3, mode="trilinear", align_corners=True)

    @torch.no_grad()
    def refined(self, side: int) -> "Grid":
        """The same field on a finer grid."""
        finer = Grid(side)
        finer.values.copy_(F.interpolate(self.values, (side,) * 3, mode="trilinear", align_corners=True))
        return finer

    @torch.no_grad()
    def smooth(self, share: float) -> None:
        """Smooth the values, as a total variation loss does, at a fifteenth of its cost."""
        self.values.lerp_(blurred(self.values), share)


@torch.no_grad()
def sampled(field: Field, side: int, chunk: int = 2**18) -> Tensor:
    """The densities of any field at the nodes of a grid, [side, side, side] as z, y, x."""
    points = nodes(side).reshape(-1, 3)
    return torch.cat([field.density(part) for part in points.split(chunk)]).reshape(side, side, side)


def occupied(field: Field, spread: int, side: int = 32, least: float = 0.5) -> Tensor:
    """The occupied cells, bool [side, side, side] as z, y, x. `spread`: cells added around them."""
    density = sampled(field, 2 * side)[None, None]
    cells = F.max_pool3d(density, 2)
    cells = F.max_pool3d(cells, 2 * spread + 1, stride=1, padding=spread)
    return cells[0, 0] > least


def looked_up(cells: Tensor, points: Tensor) -> Tensor:
    """Whether points [..., 3] lie in an occupied cell."""
    side = cells.shape[0]
    x, y, z = ((points / BOUND + 1) * (side / 2)).long().clamp(0, side - 1).unbind(-1)
    return cells[z, y, x]
