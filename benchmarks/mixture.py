"""Training of a method on the 2-D mixture, whose distribution is known, and the distance of its samples from it.

Tests and ablations share it: a run takes seconds on one thread.
"""

from dataclasses import replace
from math import pi

import torch
from torch import Tensor

from core.settings import override
from distill import declared
from distill.settings import TrainConfig
from distill.trainer import Trainer, prepare
from distill.world import SceneRequest
from evals.metrics import sliced_wasserstein
from models.denoiser import Cond, TrigFlow
from models.families.toy2d import Mixture, integrate, labels
from models.guidance import Turn
from models.samplers import sample
from models.schedule import Trig
from models.stepping import ConsistencySteps

N = 2000
TEACHER = Mixture.ring()
COND = labels(torch.arange(N) % len(TEACHER.means), len(TEACHER.means))
TRUTH = TEACHER.sample(COND, torch.Generator().manual_seed(5))
NOISE = torch.randn(N, 2, generator=torch.Generator().manual_seed(9))
UNIFORM = {n: tuple(1 - i / n for i in range(n)) for n in (1, 2, 4, 8)}
FEW = {1: (pi / 2,), 2: (pi / 2, 1.3), 4: (pi / 2, 1.3, 1.1, 0.6)}  # angles, as SANA-Sprint's steps


def distance(samples: Tensor) -> float:
    """The sliced Wasserstein-1 distance to the truth. `FLOOR` is that of another sample of the truth."""
    return float(sliced_wasserstein(samples, TRUTH))


FLOOR = distance(TEACHER.sample(COND, torch.Generator().manual_seed(6)))


@torch.no_grad()
def few_steps(student, steps: int, cond: Cond) -> Tensor:
    """Samples by consistency sampling: to x0, and back to the next time with fresh noise."""
    rng = torch.Generator().manual_seed(11)
    times = [angle * 2 / pi for angle in FEW[steps]] if student.schedule == Trig() else UNIFORM[steps]
    stepper = ConsistencySteps(student.schedule, times, lambda x: torch.randn(x.shape, generator=rng))
    return sample(stepper, NOISE, [Turn(student)] * steps, cond)


def many_steps(denoiser, steps: int, cond: Cond) -> Tensor:
    """Samples by DDIM from pure noise, uniform in t."""
    return integrate(denoiser, NOISE, cond, steps)


def trainer(method: str, steps: int, seed: int = 0, batch_size: int = 256, **own: str) -> Trainer:
    torch.set_num_threads(1)
    module = declared.module(method)
    cfg = TrainConfig(steps=steps, batch_size=batch_size, precision="fp32", warmup=10, ema=0.99, seed=seed)
    return prepare(SceneRequest(module, override(module.Config(), own), None, "mixture", seed), cfg)


def measure(t: Trainer, steps: int) -> float:
    """The distance of the student's samples: by few steps where it was distilled, by DDIM where it was not."""
    student = t.scene.world.student
    if "teacher" not in t.method.needs:
        return distance(many_steps(student, steps, COND))
    guided = getattr(student, "takes_guidance", False) or isinstance(student, TrigFlow)
    return distance(few_steps(student, steps, replace(COND, guidance=torch.ones(N)) if guided else COND))


def learn(t: Trainer, steps: int = 1) -> tuple[float, float]:
    """The distance before and after the training."""
    before = measure(t, steps)
    while t.step < t.cfg.steps:
        t.advance()
    with t.averaged():
        return before, measure(t, steps)
