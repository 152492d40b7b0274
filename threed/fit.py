"""Fitting a field to a pool of pictures by many cheap steps on random rays, coarse to fine."""

import copy
import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from threed import fields
from threed.field import occupied
from threed.pool import Pictures
from threed.regularise import ray_loss
from threed.render import SAMPLES, disc, march, through

RAYS = 3072  # in each step
SIDES = (32, 64)  # of the grid: coarse, then fine
FINER = 0.3  # progress at which the grid becomes fine and the learning rate falls
RATE, FINE_RATE, LAST_RATE = 0.1, 0.6, 0.09  # of Adam; shares of it once it is fine, and at the end
BLUR, BLUR_EVERY = 0.1, 10
MOST = 64  # pictures in the pool


def draws(seed: int, *place: int | str) -> torch.Generator:
    """Random numbers that are a function of their place in the run, so that a resumed run draws the same."""
    digest = hashlib.sha256("/".join(map(str, (seed, *place))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def pace(progress: float) -> float:
    """The factor on the learning rate at this progress of the run."""
    if progress < FINER:
        return 1.0
    return FINE_RATE * (LAST_RATE / FINE_RATE) ** ((progress - FINER) / (1 - FINER))


@dataclass
class Particle:
    """One candidate (ProlificDreamer's theta_i): its field, its optimiser, and the pool that it is fitted to."""

    field: Any  # of `fields.FIELDS`
    adam: torch.optim.Adam
    cells: Tensor  # bool [32, 32, 32], the occupied cells
    pool: Pictures | None = None

    @classmethod
    def new(cls, side: int = SIDES[0], kind: str = "grid", seed: int = 0) -> "Particle":
        field = fields.new(kind, side, seed)
        return cls(field, adam(field), occupied(field, 2))

    def copy(self) -> "Particle":
        """A copy of its present state."""
        other = Particle.of(fields.saved(self.field.state_dict()), self.cells, self.pool)
        other.adam.load_state_dict(copy.deepcopy(self.adam.state_dict()))
        return other

    @classmethod
    def of(cls, field: Any, cells: Tensor, pool: Pictures | None) -> "Particle":
        """A particle with this field."""
        return cls(field, adam(field), cells, pool)

    @property
    def finite(self) -> bool:
        return all(bool(torch.isfinite(w).all()) for w in self.field.parameters())

    def refine(self, side: int) -> None:
        if self.field.side != side:
            self.field = self.field.refined(side)
            self.adam = adam(self.field)

    def keep(self, new: Pictures) -> None:
        self.pool = Pictures.joined([p for p in (self.pool, new) if p is not None]).newest(MOST)


def adam(field: Any, rate: float = RATE) -> torch.optim.Adam:
    groups = [{"params": group, "lr": rate * share} for group, share in zip(field.groups(), field.shares, strict=True)]
    return torch.optim.Adam(groups, lr=rate, betas=(0.9, 0.99), eps=1e-15, fused=True)


def pick(pool: Pictures, generator: torch.Generator, rays: int = RAYS) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, rows and columns [N] of random pixels whose rays meet the ball."""
    size = pool.pixels.shape[-1]
    which = torch.randint(len(pool), (rays,), generator=generator)
    u, v = torch.rand(2, rays, generator=generator)
    reach, angle = disc(4.1) * u.sqrt(), 2 * torch.pi * v
    x, y = reach * angle.cos(), reach * angle.sin()
    column, row = (((c + 1) / 2 * size).long().clamp(0, size - 1) for c in (x, y))
    return which, row, column


def loss_of(one: Particle, progress: float, generator: torch.Generator) -> Tensor:
    """The mean loss over random rays of the pool."""
    pool = one.pool
    assert pool is not None, "a particle is fitted to pictures"
    which, row, column = pick(pool, generator)
    rays = through(pool.matrix[which], row, column, pool.pixels.shape[-1])
    seen = march(one.field, rays, one.cells, torch.rand(RAYS, SAMPLES, generator=generator))
    target, cover, trust = (
        pool.pixels[which, :, row, column],
        pool.cover[which, row, column],
        pool.trust[which, row, column],
    )
    return ray_loss(seen.on(pool.background[which]), seen.opacity, seen.spread, target, cover, trust, progress).mean()


def step(one: Particle, progress: float, count: int, generator: torch.Generator) -> Tensor:
    """One step on random rays; `count`: steps before it. Returns the loss."""
    loss = loss_of(one, progress, generator)
    one.adam.zero_grad()
    loss.backward()
    for group, share in zip(one.adam.param_groups, one.field.shares, strict=True):
        group["lr"] = RATE * pace(progress) * share
    one.adam.step()
    if count % BLUR_EVERY == BLUR_EVERY - 1:
        one.field.smooth(BLUR * pace(progress))
    return loss.detach()


def fit(one: Particle, progress: float, steps: int, done: int, generator: torch.Generator) -> float:
    """The steps of one round, after which the occupied cells are found anew. Returns the mean loss."""
    one.refine(SIDES[progress >= FINER])
    losses = [step(one, progress, done + k, generator) for k in range(steps)]
    one.cells = occupied(one.field, 2 if progress < 0.15 else 1)
    return float(torch.stack(losses).mean())
