"""Builds what a method asks for: the student, the frozen teacher, the data. Nothing else knows where these come from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from distill.data import Source, cache, sources
from distill.method import Batch, Rows, World
from models import catalogue
from models.denoiser import Cond, Denoiser
from models.families import sana, toy2d
from models.paths import cache as cache_dir


@dataclass(frozen=True)
class Scene:
    """A world, and its data: `batch(step, rows, rng)`, a function of its arguments."""

    world: World
    batch: Callable[[int, int, Rows], Batch]


def pixels(pictures: np.ndarray) -> Tensor:
    """uint8 [B, H, W, 3] -> [B, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Draws:
    """Rows of cached sources in fixed proportions, with replacement."""

    def __init__(self, parts: list[cache.Cached], weights: list[float]):
        self.parts, self.edges = parts, torch.tensor(weights).cumsum(0) / sum(weights)

    def __call__(self, n: int, rng: Rows) -> list[tuple[cache.Cached, int, float]]:
        """(source, index, a uniform number to choose a caption by) for each row."""
        which, where, extra = rng.rand(n).cpu(), rng.rand(n).cpu(), rng.rand(n).cpu()
        out = []
        for w, u, e in zip(which.tolist(), where.tolist(), extra.tolist(), strict=True):
            part = self.parts[int((w > self.edges[:-1]).sum())]
            out.append((part, min(int(u * len(part)), len(part) - 1), e))
        return out


def rows_of(draws: list[tuple[cache.Cached, int, float]]) -> tuple[np.ndarray, list[str], list[dict]]:
    arrays = np.stack([part[i] for part, i, _ in draws])
    captions = [c[int(e * len(c))] for part, i, e in draws for c in [part.captions[i]]]
    return arrays, captions, [part.attributes[i] for part, i, _ in draws]
