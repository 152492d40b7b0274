"""Feedback from a judge (ReFL, Xu et al. 2023; Hyper-SD, Sec. 3.2), up to the point where it recognises the prompt.

    L = relu(threshold - log p(caption | picture)) + keep |x0 - x0 of the start|^2

The hinge ends the reward at the level of real pictures, as beyond it a generator learns only the judge's mistakes.
Trainings are short, as those are learnt within some hundred steps. `judge-a` gives the reward; `judge-b`, which has
another seed and another architecture, measures the result.
"""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.fields import option
from distill import students
from distill.losses import mse
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import as_its_base
from models.adapt import add_lora
from models.denoiser import Cond, Denoiser

ABOUT = "Reward feedback: trained until a judge recognises the prompt's content in the pictures."
BASES = ("sprint", "sana", "sd", "sdxl")
FURTHER = True  # the result is its base, trained further
STEPS = 200


@dataclass(frozen=True)
class Config:
    lr: float = option(1e-4, "Learning rate.", low=0, high=1)
    rank: int = option(16, "Rank of the LoRA; 0 trains the whole network.", low=0, high=1024)
    times: tuple[float, ...] = option(
        (1.0,),
        "Times of the student's steps; only the last one is trained.",
        low=0.001,
        high=1,
        length=(1, 16),
        order="falling",
    )
    threshold: float = option(-0.1, "Log probability of the prompt's content above which there is no reward.", high=0)
    keep: float = option(1.0, "Weight that keeps pictures near those before the training.", low=0, high=1e6)
    guidance: float = option(3.5, "Guidance for a student that takes it as an input.", low=0, high=30)
    rewarded = True  # by a judge


def student(cfg: Config, base: Denoiser | None) -> Denoiser:
    base = needed(base)
    return add_lora(base, cfg.rank) if cfg.rank else base


class Method:
    needs = {"latents", "labels", "judge"}

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.takes_guidance = getattr(world.student, "takes_guidance", False)
        self.start = copy.deepcopy(world.student).requires_grad_(False)
        self.players = {"student": Player(world.student, cfg.lr, ema=True)}

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        cfg, (x0, _), last = self.cfg, batch.latents, len(self.cfg.times) - 1
        cond = self.with_guidance(batch)
        noise = rng.randn_like(x0)
        x = students.simulate(self.w.student, noise, cond, cfg.times, last, rng)
        with torch.no_grad():
            was = students.simulate(self.start, noise, cond, cfg.times, last, rng)
        reward, kept = students.hinged(needed(self.w.judge), x, batch, cfg.threshold), mse(x, was)
        return Out((reward + cfg.keep * kept).mean(), {"short": reward.detach().mean(), "moved": kept.detach().mean()})

    def with_guidance(self, batch: Batch) -> Cond:
        """The prompt embeddings, with the guidance where the student has an input for it."""
        x0, cond = batch.latents
        return replace(cond, guidance=x0.new_full((len(x0),), self.cfg.guidance)) if self.takes_guidance else cond

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        (x0, _), cond, times = batch.latents, self.with_guidance(batch), self.cfg.times
        rng = Rows(0, 0, len(batch), device=x0.device)
        return needed(self.w.show)(
            students.simulate(self.w.student, rng.randn_like(x0), cond, times, len(times) - 1, rng)
        )


serve = as_its_base
