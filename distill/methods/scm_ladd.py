"""SANA-Sprint (Chen et al. 2025): continuous-time consistency (sCM) with latent adversarial distillation (LADD).

student:  makes F constant along the teacher's guided path, and fools the heads          even steps
heads:    classify its one-step pictures against data, by the frozen teacher's features    odd steps

Times are TrigFlow's: t in [0, 1] is a quarter turn, theta = t pi / 2. Latents have unit variance, so sigma_data drops
out. Deviations from the paper, with reasons, are in docs/methods/scm_ladd.md.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import pi
from pathlib import Path
from typing import Literal

import torch
from diffusers import SCMScheduler
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from core.fields import option
from distill.heads import Heads
from distill.losses import hinge_fake, hinge_real, mse
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Trained
from models.denoiser import Cond, Denoiser, TrigFlow
from models.guidance import guided
from models.hub import SPRINT_STEPS
from models.manifest import Guidance
from models.schedule import add_noise, flow_time, like

ABOUT = "SANA-Sprint: continuous-time consistency, with a discriminator in latents."
BASES = ("sana",)
SIGMA_DATA = 0.5  # used only in the distribution of t, so that the paper's numbers can be used


@dataclass(frozen=True)
class Config:
    lr: float = option(2e-4, "Learning rate of the student.", low=0, high=1)
    heads_lr: float = option(1e-3, "Learning rate of the discriminator.", low=0, high=1)
    guidance: tuple[float, ...] = option(
        (2.0, 5.0),
        "Range from which training draws the student's guidance.",
        low=0,
        high=30,
        length=2,
        order="rising",
    )
    t_mean: float = option(0.2, "Mean of tau, with tan theta = e^tau / sigma_data.", low=-10, high=10)
    t_std: float = option(1.6, "Deviation of tau.", low=0.001, high=10)
    heads_t_mean: float = option(-0.6, "Mean of the discriminator's tau.", low=-10, high=10)
    heads_t_std: float = option(1.0, "Deviation of the discriminator's tau.", low=0.001, high=10)
    warmup: int = option(300, "Student steps until the tangent has its full weight (H).", low=0)
    tangent: Literal["jvp", "difference"] = option(
        "difference", "How the tangent is computed; difference needs no special attention kernel."
    )
    tangent_norm: float = option(
        0.1,
        "Added to a tangent's length before it is divided by it; more makes short ones count less.",
        low=0,
        high=1e6,
    )
    consistency: float = option(1.0, "Weight of consistency.", low=0, high=1e6)
    adversarial: float = option(0.5, "Weight of the discriminator; 0 has none.", low=0, high=1e6)
    largest: float = option(0.5, "Share of samples whose adversarial step starts from pure noise.", low=0, high=1)
    blocks: tuple[int, ...] = option(
        (1, 3, 5, 7), "Teacher blocks that the discriminator sees.", low=0, length=(1, 100), order="rising"
    )

    @property
    def looks_at(self) -> tuple[int, ...]:
        """Blocks of the base that must be there."""
        return self.blocks

    @property
    def least(self) -> int:
        """The least number of samples in a step: the heads also see pictures under another caption."""
        return 2 if self.adversarial else 1


def student(cfg: Config, base: Denoiser | None) -> TrigFlow:
    """The teacher with a guidance input that has no effect yet, as a TrigFlow denoiser."""
    if base is None:
        raise ValueError("scm_ladd distils a flow-matching teacher; give one with --base, such as toybox-sana")
    return TrigFlow(base.with_guidance())


def sample_t(rng: Rows, n: int, mean: float, std: float) -> Tensor:
    """t [B] in (0, 1): theta = arctan(e^tau / sigma_data), kept off pure noise by 1e-4 rad."""
    theta = torch.atan(torch.exp(mean + std * rng.randn(n)) / SIGMA_DATA)
    return theta.clamp(1e-4, pi / 2 - 1e-4) * (2 / pi)


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Within: full fp32. Differences of 1e-3 would be lost in bf16 or in a GPU's TF32."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, False
    try:
        with torch.autocast(device.type, enabled=False), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before


def derivative(f: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor, dx: Tensor, how: str) -> Tensor:
    """d f(x, t) / d theta along dx / d theta = dx, by forward-mode AD or central differences."""
    if how == "jvp":
        with sdpa_kernel(SDPBackend.MATH):  # the fused CPU kernels have no forward derivative
            return torch.func.jvp(f, (x, t), (dx, torch.full_like(t, 2 / pi)))[1]
    h = 2e-3
    dt = torch.full_like(t, h * 2 / pi)
    return (f(x + h * dx, t + dt) - f(x - h * dx, t - dt)) / (2 * h)


def tangent(F: Tensor, dF: Tensor, x_t: Tensor, dx: Tensor, t: Tensor, r: float) -> Tensor:
    """g of the sCM loss (SANA-Sprint, Alg. 2), cos(theta) d f / d theta with warm-up r, before normalisation."""
    theta = like(t, x_t) * (pi / 2)
    cos, sin = theta.cos(), theta.sin()
    return -(cos**2) * (F - dx) - r * cos * sin * (x_t + dF)


def normalise(g: Tensor, c: float) -> Tensor:
    """g / (rms(g) + c) by sample. Differs from the paper's L2 norm: independent of the latent's size."""
    rms = g.square().flatten(1).mean(1).sqrt()
    return g / like(rms + c, g)


class Method:
    needs = {"latents", "teacher", "features"}

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.teacher = TrigFlow(needed(world.teacher))
        self.features = needed(world.features)(cfg.blocks)
        self.heads = Heads(self.features.channels, self.features.kernel)
        self.every = 2 if cfg.adversarial else 1
        self.players = {"student": Player(world.student, cfg.lr, every=self.every, ema=True)}
        if cfg.adversarial:
            self.players["heads"] = Player(self.heads, cfg.heads_lr, every=2, phase=1)

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        low, high = self.cfg.guidance
        cond = replace(needed(batch.cond), guidance=low + (high - low) * rng.rand(len(batch)))
        return self.student_loss(batch, cond, rng) if player == "student" else self.heads_loss(batch, cond, rng)

    def student_loss(self, batch: Batch, cond: Cond, rng: Rows) -> Out:
        cfg, logs, (x0, prompts) = self.cfg, {}, batch.latents
        loss = x0.new_zeros(())
        if cfg.consistency:
            scm, size = self.consistency(batch, cond, rng)
            loss, logs = loss + cfg.consistency * scm, logs | {"scm": scm.detach(), "tangent": size}
        if cfg.adversarial:
            fake, _ = self.one_step(batch, cond, rng)
            adversarial = -self.judge(fake, prompts, rng).mean()
            loss, logs = loss + cfg.adversarial * adversarial, logs | {"adversarial": adversarial.detach()}
        return Out(loss, logs)

    def consistency(self, batch: Batch, cond: Cond, rng: Rows) -> tuple[Tensor, Tensor]:
        """The loss mean |F - F_stopped - g|^2, with g from the teacher's guided path (SANA-Sprint, Eq. 9)."""
        cfg, net, x0 = self.cfg, self.w.student, needed(batch.x0)
        t = sample_t(rng, len(x0), cfg.t_mean, cfg.t_std)
        x_t = add_noise(net.schedule, x0, rng.randn_like(x0), t)
        with torch.no_grad():
            dx = self.guided(x_t, t, cond)
            with exact(x_t.device):
                dF = derivative(lambda x, u: net.predict(x, u, cond), x_t, t, dx, cfg.tangent)
        F = net.predict(x_t, t, cond).float()
        r = min(1.0, batch.step / self.every / max(1, cfg.warmup))
        g = tangent(F.detach(), dF, x_t, dx, t, r)
        size = g.square().mean().sqrt()
        return mse(F, F.detach() + normalise(g, cfg.tangent_norm)).mean(), size

    def guided(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        """The teacher's F with classifier-free guidance, in one call for both halves."""
        return guided(self.teacher.predict, x_t, t, cond, self.w.null_like(cond), needed(cond.guidance))

    def one_step(self, batch: Batch, cond: Cond, rng: Rows) -> tuple[Tensor, Tensor]:
        """The student's x0 from data noised to t; a share of the samples starts from pure noise, at t = 1 exactly."""
        cfg, x0 = self.cfg, needed(batch.x0)
        t = sample_t(rng, len(x0), cfg.t_mean, cfg.t_std)
        t = torch.where(rng.rand(len(x0)) < cfg.largest, torch.ones_like(t), t)
        x_t = add_noise(self.w.student.schedule, x0, rng.randn_like(x0), t)
        return self.w.student(x_t, t, cond).float(), t

    def judge(self, x0: Tensor, cond: Cond, rng: Rows, t: Tensor | None = None) -> Tensor:
        """Logits [B, N] of the heads for x0, noised to times of the heads' own distribution."""
        if t is None:
            t = sample_t(rng, len(x0), self.cfg.heads_t_mean, self.cfg.heads_t_std)
        s = flow_time(t)  # cos x0 + sin eps, scaled to the flow teacher's own input
        return self.heads(self.features(add_noise(self.features.schedule, x0, rng.randn_like(x0), s), s, cond))

    def heads_loss(self, batch: Batch, cond: Cond, rng: Rows) -> Out:
        """The hinge loss on data, on the student's pictures, and on data under another caption."""
        x0, prompts = batch.latents
        with torch.no_grad():
            fake, _ = self.one_step(batch, cond, rng)
        t = sample_t(rng, len(batch), self.cfg.heads_t_mean, self.cfg.heads_t_std)
        real = self.judge(x0, prompts, rng, t)
        wrong = self.judge(swap(x0), prompts, rng, t)
        fakes = self.judge(fake, prompts, rng, t)
        loss = hinge_real(real) + (hinge_fake(fakes) + hinge_fake(wrong)) / 2
        right = ((real > 0).float().mean() + (fakes < 0).float().mean()) / 2
        return Out(loss.mean() / 2, {"accuracy": right})

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Samples of one step, from pure noise."""
        data, cond = batch.latents
        x = torch.randn(data.shape, generator=torch.Generator().manual_seed(0)).to(data)
        middle = torch.full((len(x),), sum(self.cfg.guidance) / 2, device=x.device)
        x0 = self.w.student(x, torch.ones_like(middle), replace(cond, guidance=middle))
        return needed(self.w.show)(x0.float())


def swap(x: Tensor) -> Tensor:
    """The samples with neighbours exchanged (0 and 1, 2 and 3, …), within this process; an odd last one takes the place
    of the first."""
    if len(x) == 1:
        raise ValueError("scm_ladd shows a picture under another's caption: train.batch_size must give each process 2")
    order = torch.arange(len(x)) ^ 1
    return x[order.where(order < len(x), 0)]


def serve(made: Trained, home: Path) -> dict:
    made.student.save(home)
    SCMScheduler().save_pretrained(home / "scheduler")
    low, high = made.cfg.guidance
    facts = {"scheduler": "SCMScheduler", "prediction": "trigflow", "timesteps": SPRINT_STEPS}
    about = {} if made.cfg.adversarial else {"about": "SANA-Sprint's continuous-time consistency alone."}
    return facts | {"guidance": Guidance("embedded", (low + high) / 2, (low, high))} | about
