"""Trains a method on the 2-D mixture, whose answer is known, and says how far its samples are from the truth."""

from dataclasses import replace

import torch
from accelerate import Accelerator
from torch import Tensor

from distill import world
from distill.config import override
from distill.train import TrainConfig, Trainer, import_method, movers
from evals.metrics import sliced_wasserstein
from models.families.toy2d import Mixture, integrate, labels

N = 2000
TEACHER = Mixture.ring()
COND = labels(torch.arange(N) % len(TEACHER.means), len(TEACHER.means))
TRUTH = TEACHER.sample(COND, torch.Generator().manual_seed(5))
NOISE = torch.randn(N, 2, generator=torch.Generator().manual_seed(9))


def distance(samples: Tensor) -> float:
    return float(sliced_wasserstein(samples, TRUTH))


FLOOR = distance(TEACHER.sample(COND, torch.Generator().manual_seed(6)))


@torch.no_grad()
def sampled(student, steps: int) -> float:
    """Distance of samples in so many DDIM steps, prompted by the component's name."""
    cond = replace(COND, guidance=torch.ones(N)) if getattr(student, "guided", True) else COND
    return distance(integrate(student, NOISE, cond, steps))


def trainer(method: str, steps: int, seed: int = 0, **own: str) -> Trainer:
    torch.set_num_threads(1)
    module = import_method(method)
    cfg = TrainConfig(steps=steps, batch_size=256, precision="fp32", warmup=10, ema=0.99, seed=seed)
    config = override(module.Config(), own)
    torch.manual_seed(seed)
    scene = world.build(world.Asked(module, config, None, "mixture", seed), torch.device("cpu"))
    built = module.Method(scene.world, config)
    return Trainer(built, scene, cfg, Accelerator(cpu=True), movers(built, cfg))


def learn(t: Trainer) -> tuple[float, float]:
    """Distance of samples before and after training."""
    n = 1 if "teacher" in t.method.needs else 20
    before = sampled(t.scene.world.student, n)
    while t.step < t.cfg.steps:
        t.advance()
    with t.averaged():
        return before, sampled(t.scene.world.student, n)
