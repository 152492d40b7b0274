"""What a field is fitted to: pictures that the teacher answered with, the oldest forgotten first.

One answer costs as much as a dozen steps on rays, so each is read by many of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy.ndimage import binary_propagation
from torch import Tensor

NEAR = 0.07  # as near to the background is the background
CLEAR, SURE = 0.06, 0.16  # distance from it at which something may be there, and is


@dataclass(frozen=True)
class Pictures:
    """Rows are pictures; all are S x S."""

    pixels: Tensor  # [P, 3, S, S] in [0, 1]
    cover: Tensor  # [P, S, S]: how much of each pixel the thing covers
    trust: Tensor  # [P, S, S]: how far that is believed
    background: Tensor  # [P, 3]
    matrix: Tensor  # [P, 4, 4], camera to world

    def __len__(self) -> int:
        return len(self.pixels)

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def newest(self, most: int) -> "Pictures":
        return Pictures(**{k: v[-most:] for k, v in self.tensors().items()})

    @classmethod
    def joined(cls, parts: Iterable["Pictures"]) -> "Pictures":
        rows = [p.tensors() for p in parts]
        return cls(**{k: torch.cat([r[k] for r in rows]) for k in rows[0]})


def outside(near: Tensor) -> Tensor:
    """Of pixels [P, S, S] that look like background, those that hang together with the frame."""
    reached = np.zeros(near.shape, bool)
    border = np.zeros(near.shape[1:], bool)
    border[[0, -1]] = border[:, [0, -1]] = True
    for k, mask in enumerate(near.numpy()):
        reached[k] = binary_propagation(border & mask, mask=mask)
    return torch.from_numpy(reached)


def cut_out(pixels: Tensor, background: Tensor, matrix: Tensor, silhouette: bool) -> Pictures:
    """Pictures [P, 3, S, S] on solid backgrounds [P, 3], with the silhouettes that can be read off them.

    What looks like background and hangs together with the frame becomes it exactly. What looks like it and is enclosed
    is a hole or a pale window: nobody can tell, so its cover is not believed. `silhouette`: whether any is.
    """
    plain = background[:, :, None, None].expand_as(pixels)
    away = (pixels - plain).abs().amax(1)  # [P, S, S]
    near = away < NEAR
    free = outside(near)
    if silhouette:
        pixels = torch.where(free[:, None], plain, pixels)
    cover = torch.where(free, torch.zeros_like(away), ((away - CLEAR) / (SURE - CLEAR)).clamp(0, 1))
    trust = (free | ~near).float() if silhouette else torch.zeros_like(away)
    return Pictures(pixels, cover, trust, background, matrix)
