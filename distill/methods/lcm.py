"""Latent consistency distillation (Luo et al. 2023), the baseline: all points of a path of the teacher map to one x0.

    L = huber(f(x_t), f(x_r)),    f = c_skip x + c_out x0(x),   x_r one DDIM step of the guided teacher below x_t

c_skip = d^2 / (d^2 + (10 T t)^2) with d = 0.5 (diffusers' LCMScheduler, timestep_scaling 10): 1 at t = 0, else near 0.
It differs from the paper: the target at the neighbour is the student's own output without gradient (Song & Dhariwal
2023), not that of a moving average.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import LCMScheduler
from torch import Tensor

from core.fields import option
from distill import students
from distill.losses import huber
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Trained, few_steps
from models.denoiser import Cond
from models.guidance import guided
from models.hub import TCD_STEPS
from models.schedule import add_noise, ddim, like

ABOUT = "Latent consistency: the baseline that other students are compared with."
BASES = ("sd", "sdxl")
SIGMA_DATA, SCALING = 0.5, 10_000.0  # 1,000 timesteps, each times 10


@dataclass(frozen=True)
class Config:
    lr: float = option(3e-4, "Learning rate.", low=0, high=1)
    rank: int = option(32, "Rank of the LoRA; 0 trains the whole network.", low=0, high=1024)
    grid: int = option(50, "Steps of the teacher's solver from noise to data, those of LCMScheduler.", low=1)
    guidance: float = option(3.0, "Guidance of the teacher.", low=0, high=30)
    huber_c: float = option(0.03, "Huber's constant: below this distance the loss is smooth.", low=0, high=1e6)


student = students.student


def consistent(net, x: Tensor, t: Tensor, cond: Cond) -> Tensor:
    """f (Eq. 9), which is x itself at t = 0."""
    skip = SIGMA_DATA**2 / (SIGMA_DATA**2 + (SCALING * t) ** 2)
    out = SCALING * t / ((SCALING * t) ** 2 + SIGMA_DATA**2).sqrt()
    return like(skip, x) * x + like(out, x) * net(x, t.clamp_min(1e-3), cond).float()


class Method:
    needs = {"latents", "teacher"}

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.players = {"student": Player(world.student, cfg.lr, ema=True)}

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        cfg, teacher, (x0, cond) = self.cfg, needed(self.w.teacher), batch.latents
        n = rng.randint(1, cfg.grid + 1, len(batch))
        t, r = n / cfg.grid, (n - 1) / cfg.grid
        x_t = add_noise(teacher.schedule, x0, rng.randn_like(x0), t)
        with torch.no_grad():
            answer = guided(teacher, x_t, t, cond, self.w.null_like(cond), cfg.guidance)
            target = consistent(self.w.student, ddim(teacher.schedule, x_t, answer, t, r), r, cond)
        return Out(huber(consistent(self.w.student, x_t, t, cond), target, cfg.huber_c).mean())

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Samples of one step, from fixed noise."""
        x0, cond = batch.latents
        rng = Rows(0, 0, len(batch), device=x0.device)
        return needed(self.w.show)(students.simulate(self.w.student, rng.randn_like(x0), cond, (1.0,), 0, rng))


def serve(made: Trained, home: Path) -> dict:
    return few_steps(made, home, LCMScheduler, TCD_STEPS)
