"""Latents of many different prompts in one batch, by the walk of `models.generate` without its events."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from models.denoiser import Cond
from models.families import Parts
from models.generate import steps_of, turn
from models.guidance import Change, Turn
from models.samplers import sample
from models.schedule import add_noise


def latents(
    parts: Parts, prompts: list[str], seeds: list[int], steps: int, guidance: float, changes: tuple[Change, ...] = ()
) -> Tensor:
    """The latents of each prompt and seed, [B, C, h, w]. changes: of the prompt embeddings."""
    own = replace(turn(parts, guidance), prompts=changes)
    cond, null = encoded(parts, prompts, own)
    generators = [Generator().manual_seed(seed) for seed in seeds]
    run = steps_of(parts, steps, generators)
    x = noise(parts, generators) * run.initial
    return sample(run, x, [own] * steps, cond, null)


def refined(
    parts: Parts, z: Tensor, prompts: list[str], seeds: list[int], steps: int, t: float, guidance: float
) -> Tensor:
    """What the model makes of latents z [B, C, h, w] with noise of about time t (SDEdit, Meng et al. 2022): it takes
    those of its own steps that are not noisier."""
    own = turn(parts, guidance)
    cond, null = encoded(parts, prompts, own)
    generators = [Generator().manual_seed(seed) for seed in seeds]
    run = steps_of(parts, steps, generators)
    first = min(range(steps), key=lambda i: abs(run.times[i] - t))
    x = add_noise(run.schedule, z, noise(parts, generators), torch.full((len(z),), run.times[first]).to(z.device))
    run.resume(first, x, ())
    return sample(run, x, [own] * steps, cond, null, first)


def encoded(parts: Parts, prompts: list[str], own: Turn) -> tuple[Cond, Cond | None]:
    """The prompts, and the empty one for guidance that needs it."""
    if not own.needs_null:
        return parts.text(prompts), None
    return parts.text(prompts), parts.text([""]).map(lambda v: v.expand(len(prompts), *v.shape[1:]))


def noise(parts: Parts, generators: Sequence[Generator]) -> Tensor:
    return torch.cat([torch.randn((1, *parts.latent), generator=g) for g in generators]).to(parts.device)
