"""Losses on what rays saw. Pure: per ray, [N]."""

import torch
from torch import Tensor

COLOUR, COVER = 0.1, 0.3  # where a Huber loss turns from square to straight
SPREAD, FOG = 0.05, 0.01


def huber(x: Tensor, y: Tensor, turn: float) -> Tensor:
    """|x - y|^2 / (2 turn), straight beyond `turn`: what one view paints wrongly pulls no harder than the rest."""
    gap = (x - y).abs()
    return torch.where(gap < turn, gap * gap / (2 * turn), gap - turn / 2)


def fog(opacity: Tensor) -> Tensor:
    """Entropy of seeing something or nothing, 0 where a ray is sure (ProlificDreamer, Sec. 4, on whole rays)."""
    o = opacity.clamp(1e-4, 1 - 1e-4)
    return -(o * o.log() + (1 - o) * (1 - o).log())


def ray_loss(
    colour: Tensor, opacity: Tensor, spread: Tensor, target: Tensor, cover: Tensor, trust: Tensor, progress: float
) -> Tensor:
    """Colours [N, 3] over the target's own background, its silhouette where it is believed, thin surfaces, no fog."""
    out = huber(colour, target, COLOUR).mean(-1)
    out = out + trust * huber(opacity, cover, COVER)
    return out + SPREAD * spread + FOG * progress * fog(opacity)
