"""Parts that methods share: making a student of a teacher, simulating its steps, and common losses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.adversary import T_MAX, T_MIN
from distill.losses import mse, snr_weight
from distill.method import Batch, Rows
from models.adapt import add_lora
from models.denoiser import AnswersX0, Cond, Denoiser, Predicts
from models.guidance import Turn, guided
from models.samplers import sample
from models.schedule import add_noise, from_x0
from models.score import vsd_direction
from models.stepping import ConsistencySteps


class Ranked(Protocol):
    """Settings of a method that can train a LoRA."""

    @property
    def rank(self) -> int: ...


def given(base: Denoiser | None) -> Denoiser:
    """The base. Raises ValueError where there is none."""
    if base is None:
        raise ValueError("this method distils a teacher; give one with --base, such as toybox-sd")
    return base


def taught(base: Denoiser | None) -> Denoiser:
    """The teacher. Raises ValueError where there is none, or where students of its family can't be served."""
    if not (base := given(base)).few_steps:
        raise ValueError("this method distils a Stable Diffusion UNet; give one with --base, such as toybox-sd")
    return base


def student(cfg: Ranked, base: Denoiser | None) -> Denoiser:
    """The student: the base itself where the rank is 0, else the base with an adapter."""
    base = taught(base)
    return add_lora(base, cfg.rank) if cfg.rank else base


def denoising(net: Denoiser, x0: Tensor, cond: Cond, rng: Rows, t_min: float = T_MIN) -> Tensor:
    """The loss of denoising score matching of `net` on x0, [B], on the network's own prediction."""
    t = t_min + (1 - t_min) * rng.rand(len(x0))
    x_t = add_noise(net.schedule, x0, rng.randn_like(x0), t)
    return apart(net, x_t, t, cond, x0)


def matching(
    x: Tensor,
    teacher: AnswersX0,
    fake: AnswersX0,
    cond: Cond,
    null: Cond,
    guidance: float,
    rng: Rows,
    guided_below: float = 1.0,
    noisy: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """A loss [B] whose gradient moves x along the direction of DMD (Eq. 7), and the direction's mean absolute value.

    Guidance acts only at times below `guided_below` (Kynkäänniemi et al. 2024). Times are drawn as u^(1 / noisy).
    """
    t = T_MIN + (T_MAX - T_MIN) * rng.rand(len(x)) ** (1 / noisy)
    scale = torch.where(t < guided_below, guidance, 1.0) if guidance != 1 else 1.0
    with torch.no_grad():
        x_t = add_noise(teacher.schedule, x, rng.randn_like(x), t)
        d = vsd_direction(x, guided(teacher, x_t, t, cond, null, scale), fake(x_t, t, cond))
    return mse(x, (x - d).detach()) / 2, d.abs().mean()


def simulate(net: Denoiser, x: Tensor, cond: Cond, times: tuple[float, ...], step: int, rng: Rows) -> Tensor:
    """x0 [B, ...] of the student at step number `step`, from noise x through the steps before it (DMD2, Sec. 4.4).
    Gradients flow through the last step alone."""
    steps, turns = ConsistencySteps(net.schedule, times[: step + 1], rng.randn_like), [Turn(net)] * (step + 1)
    with torch.no_grad():
        x = sample(steps, x, turns, cond, end=step)
    return sample(steps, x, turns, cond, begin=step)


def drop(cond: Cond, null: Cond, hidden: Tensor) -> Cond:
    """The captions where `hidden` [B] is False, the empty prompt where it is True."""
    tokens = torch.where(hidden[:, None, None], null.tokens, cond.tokens)
    return replace(cond, tokens=tokens, mask=torch.where(hidden[:, None], null.mask, cond.mask))


def apart(net: Predicts, x_t: Tensor, t: Tensor, cond: Cond, x0: Tensor) -> Tensor:
    """The squared error [B] of the network's prediction against that for x0, with the weight of `snr_weight`."""
    target = from_x0(net.prediction, net.schedule, x_t, x0, t)
    return snr_weight(net.schedule, t) * mse(net.predict(x_t, t, cond), target)


def hinged(judge: Callable[[Tensor, Batch], Tensor], x0: Tensor, batch: Batch, threshold: float) -> Tensor:
    """The hinge [B] of the judge's log probability of the caption's content: zero from `threshold` on, and where the
    caption has nothing that the judge reads."""
    return F.relu(threshold - judge(x0, batch))
