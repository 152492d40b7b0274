"""Variety that distillation lost, given back without training. Each cure is a field of ImageRequest; 0 is off.

    base_steps      the base model takes the leading steps (Gandikota & Bau 2025, Alg. 1), at `base_guidance`
    skip_steps      the run begins at a later step, from pure noise (the same paper, Sec. 5)
    pink            low frequencies of the starting noise weigh more
    text_noise      noise on the prompt embedding, the same for every step
    cads            noise on the prompt embedding that is gone when t falls below 0.6 (Sadat et al. 2024)
    adapter_first   how strongly a LoRA student's adapter acts in its first step; 1 is the student
    unlike          x0 of every step but the last is pushed out of a ball around each stored picture (SPELL)

A cure changes the starting noise, the prompt embedding, the network of a step, or the x0 of a step; the walk
(`models/samplers.py`) knows none of them. Random numbers come from the picture's own seed, so each picture of a batch
is the picture of its seed alone.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from models.denoiser import Cond
from models.schedule import like

NONE_BELOW, ALL_ABOVE = 0.6, 0.9  # CADS: times at which the noise begins and is full (Sadat et al. 2024, tau_1, tau_2)
SALT = 0x5EED  # keeps the seeds of embeddings apart from those of latents


def pink(white: Tensor, strength: float) -> Tensor:
    """Noise [B, C, h, w] whose spectrum falls as 1 / f^strength, of unit variance over frequencies; 0 is white."""
    if not strength:
        return white
    h, w = white.shape[-2:]
    f = torch.hypot(torch.fft.fftfreq(h)[:, None], torch.fft.rfftfreq(w)[None, :]).to(white)  # [h, w/2 + 1]
    gain = f.clamp_min(1 / max(h, w)) ** -strength
    twice = torch.full_like(gain, 2.0)  # the spectrum of real numbers has every other half twice
    twice[:, 0] = 1.0
    if w % 2 == 0:
        twice[:, -1] = 1.0
    gain = gain / ((gain**2 * twice).sum() / twice.sum()).sqrt()
    return torch.fft.irfft2(torch.fft.rfft2(white) * gain, s=(h, w))


def text_generators(seeds: Sequence[int], own: int) -> list[Generator]:
    """A generator for the embedding of each picture, from the picture's seed and the seed of the cure, `own`."""
    return [Generator().manual_seed((seed * 1_000_003 + own) ^ SALT) for seed in seeds]


def drawn(cond: Cond, generators: Sequence[Generator]) -> Tensor:
    """Standard normal noise in the shape of the tokens, [B, L, D]. Token i of a picture gets the same noise however
    long the batch is padded."""
    width = cond.tokens.shape[2]
    rows = []
    for generator, length in zip(generators, cond.mask.sum(1).tolist(), strict=True):
        row = torch.zeros(cond.tokens.shape[1:])
        row[:length] = torch.randn(length, width, generator=generator)
        rows.append(row)
    return torch.stack(rows).to(cond.tokens)


def deviation(cond: Cond) -> Tensor:
    """The standard deviation of the tokens that count, [B]."""
    rows = zip(cond.tokens, cond.mask, strict=True)
    return torch.stack([tokens[mask].float().std() for tokens, mask in rows]).to(cond.tokens)


def noisy(cond: Cond, noise: Tensor, strength: float) -> Cond:
    """The prompt embedding with noise of `strength` standard deviations. Padding and mask stay as they are."""
    moved = cond.tokens + strength * like(deviation(cond), noise) * noise
    return replace(cond, tokens=torch.where(cond.mask[..., None], moved, cond.tokens))


def gamma(t: float) -> float:
    """How much of the prompt is left at time t (Sadat et al. 2024, Eq. 5)."""
    return min(1.0, max(0.0, (ALL_ABOVE - t) / (ALL_ABOVE - NONE_BELOW)))


def annealed(cond: Cond, noise: Tensor, strength: float, t: float) -> Cond:
    """The prompt embedding y at time t: sqrt(gamma) y + s sqrt(1 - gamma) n, then rescaled to the mean and deviation of
    y (Sadat et al. 2024, CADS)."""
    left = gamma(t)
    if left == 1.0:
        return cond
    scale, mask = like(deviation(cond), noise), cond.mask[..., None]
    mean = torch.stack([y[m].mean() for y, m in zip(cond.tokens, cond.mask, strict=True)])
    y = like(mean, noise) + left**0.5 * (cond.tokens - like(mean, noise)) + strength * (1 - left) ** 0.5 * scale * noise
    mixed = torch.where(mask, y, cond.tokens)
    moved = replace(cond, tokens=mixed)
    back = like(mean, noise) + (mixed - like(mean, noise)) * (scale / like(deviation(moved), noise))
    return replace(cond, tokens=torch.where(mask, back, cond.tokens))


def shielded(x0: Tensor, others: Tensor, radius: float) -> Tensor:
    """x0 [B, ...] pushed away from every one of `others` [K, ...] that is nearer than `radius` (SPELL, Kirchhof et al.
    2025, Eq. 5). Distances are root mean squares, so `radius` is in standard deviations of a latent."""
    d = x0[:, None] - others[None].to(x0)  # [B, K, ...]
    size = d.flatten(2).pow(2).mean(2).sqrt().clamp_min(1e-6)  # [B, K]
    push = (radius / size - 1).clamp_min(0)
    return x0 + (push.reshape(*push.shape, *[1] * (x0.ndim - 1)) * d).sum(1)
