"""Where a training spends its samples: the shares of the domains, by the gap between student and teacher.

    rho[i] = gap[i] / mean_j gap[j]
    psi[i] = r[i] exp(kappa rho[i]),    r[i] <- a psi[i] / sum_j psi[j] + (1 - a) prior[i]

as in DDK (Liu et al. 2024, Eq. 2), with the usual shares as the prior instead of equal ones. DDK compares the losses of
two language models. Here the gap of a domain is the mean squared distance, in latents, between the student's picture in
one step and the teacher's from the same noise: a loss would count what is hard in itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from distill.method import Batch, Rows, World, needed
from models.denoiser import Cond
from models.guidance import Turn
from models.samplers import sample
from models.stepping import ConsistencySteps, DdimSteps

EACH = 16  # pictures of each domain that are compared
SEED = 1004  # of their noise
SMOOTH = 0.5  # a of the formula
TEACHER_STEPS = 8
UPDATES = 30  # of the shares in a training, unless a setting says otherwise: the paper's number
CHUNK = 32


@dataclass(frozen=True)
class Domains:
    """The domains of a training's pictures, in one order. `share` draws them with other probabilities from then on;
    `examples` has `EACH` of every domain."""

    names: tuple[str, ...]
    prior: Tensor  # [N], the usual probabilities
    share: Callable[[Tensor], None]
    examples: Callable[[], Batch]


def updated(shares: Tensor, gaps: Tensor, prior: Tensor, sharp: float) -> Tensor:
    """The next shares [N] of the domains, from their gaps [N]. `sharp`: kappa."""
    psi = shares * (sharp * gaps / gaps.mean()).exp()
    return SMOOTH * psi / psi.sum() + (1 - SMOOTH) * prior


class Mix:
    """The shares of a training. A pure function of the student's weights at its updates, so a resumed training has the
    same ones."""

    def __init__(self, domains: Domains, world: World, sharp: float, every: int):
        if world.teacher is None:
            raise ValueError("train.mix=gap compares student and teacher, and this method has no teacher; valid: usual")
        if len(domains.names) < 2:
            raise ValueError("train.mix=gap needs pictures of several domains, and this data set has one; valid: usual")
        self.domains, self.world, self.sharp, self.every = domains, world, sharp, every
        self.shares, self.examples = domains.prior.clone(), domains.examples()
        x0, self.cond = self.examples.latents
        self.noise = Rows(SEED, 0, len(x0), device=x0.device).randn_like(x0)
        self.scale = world.base.manifest.guidance.default if world.base else 1.0
        self.goal = self._painted(self._teacher)

    @torch.no_grad()
    def _painted(self, paint: Callable[[Tensor, Cond], Tensor]) -> Tensor:
        rows = range(0, len(self.noise), CHUNK)
        parts = [slice(i, i + CHUNK) for i in rows]
        return torch.cat([paint(self.noise[p], self.cond.map(lambda v, p=p: v[p])) for p in parts]).float()

    def _teacher(self, noise: Tensor, cond: Cond) -> Tensor:
        net = needed(self.world.teacher)
        turns = [Turn(net, self.scale)] * TEACHER_STEPS
        return sample(DdimSteps(net.schedule, TEACHER_STEPS), noise, turns, cond, self.world.null_like(cond))

    def _student(self, noise: Tensor, cond: Cond) -> Tensor:
        net = self.world.student
        own = self.scale if getattr(net, "takes_guidance", False) else None
        return sample(ConsistencySteps(net.schedule, (1.0,), torch.zeros_like), noise, [Turn(net, own)], cond)

    def gaps(self) -> Tensor:
        """The gap of each domain, [N]."""
        apart = (self._painted(self._student) - self.goal).square().flatten(1).mean(1)
        return apart.view(len(self.domains.names), -1).mean(1).cpu()

    def update(self) -> dict[str, float]:
        """Measure the gaps and draw by the next shares. Returns both, for reports."""
        gaps = self.gaps()
        self.draw(updated(self.shares, gaps, self.domains.prior, self.sharp))
        both = {"share": self.shares, "gap": gaps}
        return {f"{k}/{name}": float(v[i]) for k, v in both.items() for i, name in enumerate(self.domains.names)}

    def draw(self, shares: Tensor) -> None:
        self.shares = shares
        self.domains.share(shares)
