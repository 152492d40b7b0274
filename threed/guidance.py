"""The teacher's targets for renders: one function with modes. Each mode regresses latents z on a target y.

    x_t = alpha z + sigma eps                                        z: latents of renders, without gradient
    sds    y = x0(x_t)                                               (DreamFusion, Poole et al. 2022, Eq. 3, in x0)
    vsd    y = z - 2 alpha sigma (x0_score(x_t) - x0(x_t))           (ProlificDreamer, Wang et al. 2023, Eq. 9)
    sdi    y = x0(x_t), x_t by inverting the walk from z             (Lukoianov et al. 2024, Eq. 10)
    pool   y = k DDIM steps from x_t to data

SDS is the gradient of |z - y|^2 / 2 up to a weight. In the papers each call of the teacher gives one gradient through
the encoder. Here y is decoded into a pool of pictures, which many steps on rays use. `pool` resembles editing by
noising (SDEdit, Meng et al. 2021) with a data set that is updated on the way (Instruct-NeRF2NeRF, Haque et al. 2023)
more than ProlificDreamer, which is `vsd`. `hybrid` is pool first and vsd for the last part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from models.schedule import add_noise, ddim
from models.score import score_gap
from models.views import Camera
from threed.prompts import Background
from threed.teacher import Teacher

WALK = 3  # DDIM steps of pool
INVERT = 4  # steps of sdi's inversion
ANNEAL = 0.8  # progress at which the times stop falling
LOW, HIGH = (0.8, 0.2), (0.98, 0.45)  # range of t, at the start and at the end (ProlificDreamer, Sec. 4: annealed)
SCALE = {"pool": 3.0, "vsd": 3.0, "sds": 5.0, "sdi": 3.0}  # guidance
VIEW_SCALE = 1.0  # guidance towards the view, for a teacher with view words only


def times(progress: float, n: int, generator: torch.Generator) -> Tensor:
    """The time t of each picture, uniform in a range that falls with progress."""
    p = min(progress / ANNEAL, 1.0)
    low, high = (a + (b - a) * p for a, b in (LOW, HIGH))
    return low + (high - low) * torch.rand(n, generator=generator)


@dataclass(frozen=True)
class Ask:
    """The teacher's guided x0 for pictures from these cameras on these backgrounds."""

    teacher: Teacher
    cameras: Sequence[Camera]
    grounds: Sequence[Background]
    scale: float
    turned: int  # shift from each view word to the one that guidance pushes away from; 0: none

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x0 with classifier-free guidance w, and with guidance v away from another view.

        x0 = x0(null) + w (x0(cond) - x0(null)) + v (x0(cond) - x0(other view))
        """
        conds = [self.teacher.null(len(x_t)), self.teacher.cond(self.cameras, self.grounds)]
        conds += [self.teacher.cond(self.cameras, self.grounds, self.turned)] if self.turned else []
        empty, prompted, *other = self.teacher(x_t, t, conds)
        out = torch.lerp(empty, prompted, self.scale)
        return out + VIEW_SCALE * (prompted - other[0]) if other else out


Score = Callable[[Tensor, Tensor], Tensor]  # x_t, t -> x0, of the renders' own distribution


def target(mode: str, z: Tensor, t: Tensor, noise: Tensor, ask: Ask, score: Score | None) -> Tensor:
    """The target y of latents z [B, C, h, w] at times t [B]. `score`: x0 of the renders' own distribution, for vsd."""
    schedule = ask.teacher.schedule
    if mode == "sdi":
        return ask(inverted(z, t, ask), t)
    x_t = add_noise(schedule, z, noise, t)
    if mode == "sds":
        return ask(x_t, t)
    if mode == "pool":
        for share, then in pairwise(torch.linspace(1, 0, WALK + 1).tolist()):
            x_t = ddim(schedule, x_t, ask(x_t, t * share), t * share, t * then)
        return x_t
    assert mode == "vsd" and score is not None, "vsd compares with the renders' own score"
    weight = (2 * schedule.alpha(t) * schedule.sigma(t)).reshape(-1, 1, 1, 1)
    return z - weight * score_gap(ask(x_t, t), score(x_t, t))


def inverted(z: Tensor, t: Tensor, ask: Ask) -> Tensor:
    """The x_t from which the deterministic walk leads to z: DDIM inversion without guidance (Song et al. 2021, Sec.
    4.3)."""
    schedule, cond = ask.teacher.schedule, ask.teacher.cond(ask.cameras, ask.grounds)
    shares = torch.linspace(0.05, 1, INVERT + 1).tolist()
    x = z * schedule.alpha(t * shares[0]).reshape(-1, 1, 1, 1)
    for share, then in pairwise(shares):
        x0 = ask.teacher(x, t * share, [cond])[0]
        x = ddim(schedule, x, x0, t * share, t * then)
    return x
