"""Denoising of data: the training of a teacher.

    SANA:              L = | v(x_t, t, c) - (eps - x0) |^2,   x_t = (1 - t) x0 + t eps    (Lipman et al. 2023, Eq. 23)
    Stable Diffusion:  L = w(t) | eps(x_t, t, c) - eps |^2,   x_t = alpha x0 + sigma eps       (Ho et al. 2020, Eq. 14)

t is logit-normal for a SANA (Esser et al. 2024, Eq. 19), uniform for a UNet. w is `losses.snr_weight`. A tenth of the
captions is dropped, for guidance. A new SANA has the two stabilisers of SANA-Sprint, the dense time embedding and
QK-norm (Sec. 3.2), from the start, so that it needs no fine-tuning before it is distilled.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.fields import option
from distill import students
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Trained, network
from models import families
from models.denoiser import Denoiser
from models.guidance import Turn
from models.manifest import Guidance
from models.samplers import sample
from models.schedule import VP, add_noise
from models.stepping import DdimSteps

ABOUT = "Denoising of data: a generator of many steps, the teacher of students of few."
BASES = ("autoencoder", "sana", "sd", "sdxl")
FURTHER = True  # the result is its base, trained further
PROPOSED = True  # forms start with this method


@dataclass(frozen=True)
class Config:
    lr: float = option(1e-3, "Learning rate.", low=0, high=1)
    layers: int = option(8, "Layers of a new SANA.", low=1)
    width: int = option(256, "Width of a new SANA, a multiple of 32.", low=1, multiple=32, high=8192)
    channels: tuple[int, ...] = option(
        (96, 128),
        "Channels of a new UNet, one number per resolution, multiples of 32.",
        low=1,
        multiple=32,
        length=(1, 8),
    )
    blocks: int = option(2, "Blocks of a new UNet at each resolution.", low=1)
    drop: float = option(0.1, "Share of samples trained without their caption.", low=0, high=1)
    t_mean: float = option(0.0, "Mean of the logit of a SANA's times.", low=-10, high=10)
    t_std: float = option(1.0, "Deviation of the logit of a SANA's times.", low=0.001, high=10)
    preview_steps: int = option(16, "Denoising steps of the sample grids.", low=1)
    preview_guidance: float = option(3.0, "Guidance of the sample grids.", low=0, high=30)


def student(cfg: Config, base: Denoiser) -> Denoiser:
    """The base, to be trained further."""
    return base


def new(cfg: Config, family: str) -> Denoiser:
    """An untrained network for the latents of this family's autoencoder."""
    return families.family(family).new(cfg)


GUIDANCE = Guidance("cfg", 3.0, (1.0, 8.0))  # of the served model


class Method:
    needs = {"latents"}

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.players = {"student": Player(world.student, cfg.lr, ema=True)}

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        net, b, (x0, cond) = self.w.student, len(batch), batch.latents
        t = self.times(b, rng)
        x_t = add_noise(net.schedule, x0, rng.randn_like(x0), t)
        cond = students.drop(cond, self.w.null_like(cond), rng.rand(b) < self.cfg.drop)
        return Out(students.apart(net, x_t, t, cond, x0).mean())

    def times(self, n: int, rng: Rows) -> Tensor:
        if isinstance(self.w.student.schedule, VP):
            return 1 - rng.rand(n)  # never 0, where eps is undefined
        return torch.sigmoid(self.cfg.t_mean + self.cfg.t_std * rng.randn(n))

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Guided samples of the batch's captions, with plain DDIM."""
        net, (x0, cond) = self.w.student, batch.latents
        steps, scale = self.cfg.preview_steps, self.cfg.preview_guidance
        hidden, noise = self.w.null_like(cond), Rows(0, 0, len(x0), device=x0.device).randn_like(x0)

        turns = [Turn(net, scale)] * steps
        return needed(self.w.show)(sample(DdimSteps(net.schedule, steps), noise, turns, cond, hidden))


def serve(made: Trained, home: Path) -> dict:
    facts = network(made, home)
    return facts | families.family(facts["family"]).many_steps(home) | {"guidance": GUIDANCE}
