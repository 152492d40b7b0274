"""The pool of pictures that a field is fitted to: targets of the teacher, of which the oldest are dropped first.

One target costs as much as a dozen steps on rays, so many steps use each.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy.ndimage import binary_propagation
from torch import Tensor

NEAR = 0.07  # colours this near to the background count as background
CLEAR, SURE = 0.06, 0.16  # distances from the background's colour at which the cover is 0 and 1


@dataclass(frozen=True)
class Pictures:
    """Rows are pictures; all are S x S."""

    pixels: Tensor  # [P, 3, S, S] in [0, 1]
    cover: Tensor  # [P, S, S]: the share of each pixel that the thing covers
    trust: Tensor  # [P, S, S]: the weight of that cover in the loss
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
    """The background-coloured pixels [P, S, S] that are connected with the frame."""
    reached = np.zeros(near.shape, bool)
    border = np.zeros(near.shape[1:], bool)
    border[[0, -1]] = border[:, [0, -1]] = True
    for k, mask in enumerate(near.numpy()):
        reached[k] = binary_propagation(border & mask, mask=mask)
    return torch.from_numpy(reached)


def cut_out(pixels: Tensor, background: Tensor, matrix: Tensor, silhouette: bool) -> Pictures:
    """Pictures [P, 3, S, S] on plain backgrounds [P, 3], with their silhouettes.

    Pixels that look like background and are connected with the frame become background exactly. Enclosed pixels that
    look like it may be a hole or a pale window, so their cover gets no weight. `silhouette`: whether any cover has
    weight.
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
