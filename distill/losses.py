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
    """L1 between horizontal and vertical differences of pictures [B, C, H, W]: keeps outlines sharp."""
    d = a.float() - b.float()
    return l1(d[..., 1:], d[..., :-1]) + l1(d[..., 1:, :], d[..., :-1, :])


def huber(a: Tensor, b: Tensor, c: float) -> Tensor:
    """Pseudo-Huber, smooth near zero (Song & Dhariwal 2023)."""
    return (a.float() - b.float()).square().flatten(1).sum(1).add(c * c).sqrt() - c


def snr_weight(schedule: Schedule, t: Tensor, low: float = 0.25, high: float = 5.0) -> Tensor:
    """Of a loss in eps, [B]: an x0's error weighs its signal to noise ratio, kept between two bounds.

    Above, as detail would count for more than what is seen (Min-SNR, Hang et al. 2023, Eq. 9). Below, as what is
    decided in noise would be learnt last, and students of few steps begin there (Salimans & Ho 2022 keep it above 1).
    Velocities need none: there an x0's error weighs 1 / t^2 already.
    """
    if not isinstance(schedule, VP):
        return torch.ones_like(t)
    snr = log_snr(schedule, t).exp()
    return snr.clamp(low, high) / snr


def hinge_real(logits: Tensor) -> Tensor:
    """Discriminator on data (LADD, hinge): zero once logits pass 1. Logits [B, N]."""
    return F.relu(1 - logits.float()).flatten(1).mean(1)


def hinge_fake(logits: Tensor) -> Tensor:
    return F.relu(1 + logits.float()).flatten(1).mean(1)
