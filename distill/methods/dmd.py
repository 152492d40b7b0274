"""DMD2 (Yin et al. 2024): distribution matching with two time scales, a discriminator, and backward simulation.

student:  moves its pictures along (fake - teacher), and fools the heads      every `ratio` steps
critic:   fake: denoises the student's pictures; heads: classify them against data    every step

A student of several steps trains one of them in each batch, drawn at random, on inputs from its own earlier steps. With
`diverse` its first step, which decides the variety, learns to land where the teacher goes (DP-DMD) instead of matching;
no gradient of the matching reaches it.
One-step students of an eps network take `times=0.4`, as at t = 1 an error in eps is 15 times as large in x0
(docs/methods/dmd.md).
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import torch
from diffusers import LCMScheduler
from torch import Tensor, nn

from core.fields import option
from distill import students
from distill.adversary import Adversary
from distill.losses import mse
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Trained, at_times, few_steps
from models.denoiser import Denoiser, Predicts
from models.guidance import Turn
from models.samplers import sample
from models.schedule import Schedule, from_x0, like
from models.stepping import DdimSteps

ABOUT = "DMD2: distribution matching with two time scales and a discriminator."
BASES = ("sd", "sdxl")


@dataclass(frozen=True)
class Config:
    lr: float = option(5e-5, "Learning rate of the student.", low=0, high=1)
    fake_lr: float = option(1e-4, "Learning rate of the fake score and of the discriminator.", low=0, high=1)
    ratio: int = option(5, "Critic steps for each step of the student.", low=1)
    rank: int = option(0, "Rank of a LoRA; 0 trains the whole network.", low=0, high=1024)
    times: tuple[float, ...] = option(
        (1.0, 0.75, 0.5, 0.25),
        "Times of the student's steps, noise first.",
        low=0.001,
        high=1,
        length=(1, 16),
        order="falling",
    )
    guidance: float = option(3.0, "Guidance of the teacher.", low=0, high=30)
    guided_below: float = option(0.8, "Guidance acts only below this time, which keeps variety.", low=0, high=1)
    noisy: float = option(
        1.0, "Matching draws times as u^(1 / noisy): above 1, more of them near noise.", low=0.01, high=100
    )
    adversarial: float = option(5e-3, "Weight of the discriminator.", low=0, high=1e6)
    pairs: float = option(
        0.0, "Weight of the regression on the teacher's own pictures, which keeps their variety.", low=0, high=1e6
    )
    solver: int = option(12, "Steps of the teacher for each of those pictures.", low=1)
    diverse: float = option(
        0.0,
        "Weight of the first step's regression on where the teacher goes, in place of matching (DP-DMD).",
        low=0,
        high=1e6,
    )
    diverse_steps: int = option(5, "Of the `solver` steps of the teacher, those that the first step takes over.", low=1)
    alone: int = option(200, "Critic steps before the student's first update.", low=0)
    blocks: tuple[int, ...] = option(
        (1, 3, 5, 7),
        "Blocks of a SANA that the discriminator sees; of a UNet it sees the ends and the middle.",
        low=0,
        length=(1, 100),
        order="rising",
    )

    @property
    def stages(self) -> dict[str, int]:
        """The step at which each stage begins."""
        return {"its student's first turn": self.alone}


def landing(schedule: Schedule, x: Tensor, t: Tensor, z: Tensor, s: Tensor) -> Tensor:
    """x0 of the one DDIM step that goes from x at time t to z at time s."""
    (a, b), (c, d) = ([like(v, x) for v in (schedule.alpha(u), schedule.sigma(u))] for u in (t, s))
    return (z - d / b * x) / (c - d / b * a)


C = TypeVar("C", bound=Config)  # the Config of a method that extends this one


student = students.student


class Method(Generic[C]):
    needs = {"latents", "teacher", "features"}

    def __init__(self, world: World, cfg: C):
        self.w, self.cfg, self.stages = world, cfg, cfg.stages
        self.fake = self.fake_of(world)
        self.heads = Adversary(needed(world.features)(cfg.blocks)) if cfg.adversarial else None
        self.critic = nn.ModuleDict({"fake": self.fake})
        if self.heads:
            self.critic["heads"] = self.heads
        self.players = {
            "student": Player(world.student, cfg.lr, every=cfg.ratio, start=cfg.alone, ema=True),
            "critic": Player(self.critic, cfg.fake_lr),
        }

    def fake_of(self, world: World) -> Denoiser:
        """The initial fake score: a copy of the teacher, or of the student where the teacher has no network."""
        source = world.teacher if isinstance(world.teacher, Denoiser) else world.student
        return copy.deepcopy(source).requires_grad_(True)

    def adversarial(self, step: int) -> float:
        """The weight of the discriminator."""
        return self.cfg.adversarial

    def target(self, step: int) -> Predicts:
        """The network whose distribution is matched."""
        return needed(self.w.teacher)

    def guidance(self, step: int) -> float:
        """The guidance of the target."""
        return self.cfg.guidance

    @property
    def taught_first(self) -> bool:
        """Whether the first of several steps learns from the teacher's path instead of matching (`diverse`)."""
        return self.cfg.diverse > 0 and len(self.cfg.times) > 1

    def pictures(self, batch: Batch, rng: Rows) -> Tensor:
        """x0 of the student at one of its steps, which is drawn at random."""
        (x0, cond), first = batch.latents, int(self.taught_first)
        step = first + int(rng.shared() * (len(self.cfg.times) - first))
        return students.simulate(self.w.student, rng.randn_like(x0), cond, self.cfg.times, step, rng)

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        return self.student_loss(batch, rng) if player == "student" else self.critic_loss(batch, rng)

    def student_loss(self, batch: Batch, rng: Rows) -> Out:
        _, cond = batch.latents
        x, null = self.pictures(batch, rng), self.w.null_like(cond)
        target, guidance = self.target(batch.step), self.guidance(batch.step)
        laws = self.cfg.guided_below, self.cfg.noisy
        loss, size = students.matching(x, target, self.fake, cond, null, guidance, rng, *laws)
        logs = {"direction": size, "mean": x.detach().mean(), "std": x.detach().std()}
        if self.heads and (weight := self.adversarial(batch.step)):
            fool = self.heads.fool(x, cond, rng)
            loss, logs = loss + weight * fool, logs | {"adversarial": fool.detach().mean()}
        total = loss.mean()
        if self.cfg.pairs:
            pairs = self.regression(batch, rng).mean()
            total, logs = total + self.cfg.pairs * pairs, logs | {"pairs": pairs.detach()}
        if self.taught_first:
            first = self.first_step(batch, rng).mean()
            total, logs = total + self.cfg.diverse * first, logs | {"first": first.detach()}
        return Out(total, logs)

    def first_step(self, batch: Batch, rng: Rows) -> Tensor:
        """The loss [B] of the student's first step against the step that lands where the teacher is after
        `diverse_steps` (DP-DMD: v = (eps - z_K) / (1 - t_K) for a flow), on the network's own prediction."""
        cfg, teacher, net = self.cfg, needed(self.w.teacher), self.painter(rng)
        x0, cond = batch.latents
        noise, null, steps = rng.randn_like(x0), self.w.null_like(cond), DdimSteps(teacher.schedule, cfg.solver)
        taken = min(cfg.diverse_steps, cfg.solver - 1)
        with torch.no_grad():
            z = sample(steps, noise, [Turn(teacher, cfg.guidance)] * cfg.solver, cond, null, end=taken)
        start = torch.full((len(noise),), cfg.times[0], device=noise.device)
        goal = landing(net.schedule, noise, start, z, torch.full_like(start, steps.times[taken]))
        target = from_x0(net.prediction, net.schedule, noise, goal, start)
        return mse(net.predict(noise, start, cond), target)

    def painter(self, rng: Rows) -> Denoiser:
        """The student whose picture `regression` compares with the teacher's picture of the same noise."""
        return self.w.student

    def regression(self, batch: Batch, rng: Rows) -> Tensor:
        """The regression loss of the student's first step on the teacher's picture of the same noise (DMD, Eq. 9). It
        takes a quarter of the batch, as the teacher needs `solver` guided steps for each picture."""
        cfg, teacher, n, painter = self.cfg, needed(self.w.teacher), max(1, len(batch) // 4), self.painter(rng)
        x0, cond = batch.latents
        noise, cond = rng.randn_like(x0)[:n], cond.map(lambda v: v[:n])
        null = self.w.null_like(cond)
        with torch.no_grad():
            turns = [Turn(teacher, cfg.guidance)] * cfg.solver
            picture = sample(DdimSteps(teacher.schedule, cfg.solver), noise, turns, cond, null)
        return mse(students.simulate(painter, noise, cond, cfg.times, 0, rng), picture)

    def critic_loss(self, batch: Batch, rng: Rows) -> Out:
        x0, cond = batch.latents
        with torch.no_grad():
            x = self.pictures(batch, rng)
        loss = students.denoising(self.fake, x, cond, rng)
        logs = {"denoising": loss.detach().mean()}
        if self.heads and self.adversarial(batch.step):
            tell, right = self.heads.tell(x0, x, cond, rng)
            loss, logs = loss + tell, logs | {"accuracy": right}
        return Out(loss.mean(), logs)

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Samples by all of the student's steps, from fixed noise."""
        x0, cond = batch.latents
        rng = Rows(0, 0, len(batch), device=x0.device)
        cond = replace(cond, guidance=None)
        x = students.simulate(self.w.student, rng.randn_like(x0), cond, self.cfg.times, len(self.cfg.times) - 1, rng)
        return needed(self.w.show)(x)


def serve(made: Trained, home: Path) -> dict:
    return few_steps(made, home, LCMScheduler, at_times(made.cfg.times))
