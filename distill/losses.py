"""Loss maths. Pure functions of tensors: no modules, no config, no randomness, per-sample results [B]."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.schedule import VP, Schedule, log_snr


def mse(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b.float()).square().flatten(1).mean(1)


def l1(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b.float()).abs().flatten(1).mean(1)


def edges(a: Tensor, b: Tensor) -> Tensor:
    """L1 between the differences of neighbouring pixels of pictures [B, C, H, W]; it keeps outlines sharp."""
    d = a.float() - b.float()
    return l1(d[..., 1:], d[..., :-1]) + l1(d[..., 1:, :], d[..., :-1, :])


def huber(a: Tensor, b: Tensor, c: float) -> Tensor:
    """The pseudo-Huber loss, smooth near zero (Song & Dhariwal 2023)."""
    return (a.float() - b.float()).square().flatten(1).sum(1).add(c * c).sqrt() - c


def snr_weight(schedule: Schedule, t: Tensor, low: float = 0.25, high: float = 5.0) -> Tensor:
    """The weight [B] of a loss in eps, with which the squared error of x0 is weighed by the signal-to-noise ratio,
    clamped to [low, high].

    Without the upper bound, invisible detail would dominate (Min-SNR, Hang et al. 2023, Eq. 9). Without the lower one,
    the noisiest times would be learnt last, and students of few steps start there (Salimans & Ho 2022 clamp at 1).
    Losses in velocity get weight 1, as they weigh the error of x0 by 1 / t^2 already.
    """
    if not isinstance(schedule, VP):
        return torch.ones_like(t)
    snr = log_snr(schedule, t).exp()
    return snr.clamp(low, high) / snr


def hinge_real(logits: Tensor) -> Tensor:
    """The hinge loss of a discriminator on data (LADD), [B], from logits [B, N]: zero for logits above 1."""
    return F.relu(1 - logits.float()).flatten(1).mean(1)


def hinge_fake(logits: Tensor) -> Tensor:
    return F.relu(1 + logits.float()).flatten(1).mean(1)
