"""Discriminator heads on frozen features of the teacher (LADD, Sauer et al. 2024; StyleGAN-T's head).

Each feature map has one small head. A head sees tokens only: text and noise level reach it through the teacher. It
differs from the paper by group norm in place of batch statistics over virtual batches of eight, which are too noisy at
small batches.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Head(nn.Module):
    def __init__(self, channels: int, kernel: int):
        super().__init__()
        mode = "circular" if kernel > 1 else "zeros"
        self.first = spectral_norm(nn.Conv1d(channels, channels, 1))
        self.mix = spectral_norm(nn.Conv1d(channels, channels, kernel, padding=kernel // 2, padding_mode=mode))
        self.last = spectral_norm(nn.Conv1d(channels, 1, 1))
        self.norms = nn.ModuleList([nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)])

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norms[0](self.first(x)), 0.2)
        x = (x + F.leaky_relu(self.norms[1](self.mix(x)), 0.2)) / 2**0.5
        return self.last(x)[:, 0]  # [B, N]


class Heads(nn.Module):
    """The heads of all feature maps, each [B, N, C], -> logits [B, sum of N]."""

    def __init__(self, channels: list[int], kernel: int = 9):
        super().__init__()
        self.heads = nn.ModuleList(Head(c, kernel) for c in channels)

    def forward(self, features: list[Tensor]) -> Tensor:
        return torch.cat([h(f.float().transpose(1, 2)) for h, f in zip(self.heads, features, strict=True)], dim=1)
