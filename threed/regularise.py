"""Losses on rendered rays. Pure: one value for each ray, [N]."""

import torch
from torch import Tensor

COLOUR, COVER = 0.1, 0.3  # where the Huber losses change from square to linear
SPREAD, FOG = 0.05, 0.01


def huber(x: Tensor, y: Tensor, turn: float) -> Tensor:
    """|x - y|^2 / (2 turn), linear beyond `turn`, so that errors of one view don't dominate."""
    gap = (x - y).abs()
    return torch.where(gap < turn, gap * gap / (2 * turn), gap - turn / 2)


def fog(opacity: Tensor) -> Tensor:
    """The entropy of a ray's opacity, 0 where it is 0 or 1 (ProlificDreamer, Sec. 4, on whole rays)."""
    o = opacity.clamp(1e-4, 1 - 1e-4)
    return -(o * o.log() + (1 - o) * (1 - o).log())


def ray_loss(
    colour: Tensor, opacity: Tensor, spread: Tensor, target: Tensor, cover: Tensor, trust: Tensor, progress: float
) -> Tensor:
    """The sum of the losses of a ray: colour [N, 3] over the target's background, silhouette weighted by `trust`, depth
    spread and fog."""
    out = huber(colour, target, COLOUR).mean(-1)
    out = out + trust * huber(opacity, cover, COVER)
    return out + SPREAD * spread + FOG * progress * fog(opacity)
