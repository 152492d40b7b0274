"""Loss maths. Pure functions of tensors: no modules, no config, no randomness, per-sample results [B]."""

import torch.nn.functional as F
from torch import Tensor


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


def push(x: Tensor, direction: Tensor) -> Tensor:
    """A loss [B] whose gradient with respect to x is `direction`, exactly, in any dtype."""
    return (x.float() * direction.detach()).flatten(1).sum(1)


def hinge_real(logits: Tensor) -> Tensor:
    """Discriminator on data (LADD, hinge): zero once logits pass 1. Logits [B, N]."""
    return F.relu(1 - logits.float()).flatten(1).mean(1)


def hinge_fake(logits: Tensor) -> Tensor:
    return F.relu(1 + logits.float()).flatten(1).mean(1)
