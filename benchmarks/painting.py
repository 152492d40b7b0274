"""Many pictures of different prompts in batches, by the walk of `models.generate` without its events."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from models.batch import latents
from models.families import Parts
from models.generate import Run, begin, encode, varied
from models.request import ImageRequest
from models.samplers import sample

CHUNK = 64


def to_bytes(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1] as uint8, rounded as in diffusers."""
    return ((pictures.float() / 2 + 0.5).clamp(0, 1) * 255).round().byte().cpu()


def to_numbers(pictures: Tensor) -> Tensor:
    """Pictures in uint8 as numbers in [-1, 1]."""
    return pictures.float() / 127.5 - 1


@torch.no_grad()
def paint(
    parts: Parts,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    say: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """The picture of each prompt and seed, as `generate` paints it: uint8 [N, 3, H, W]."""
    pictures = []
    for first in range(0, len(prompts), CHUNK):
        which = slice(first, first + CHUNK)
        z = latents(parts, list(prompts[which]), list(seeds[which]), steps, guidance)
        z = z.to(parts.vae_dtype) / parts.vae.config.scaling_factor
        pictures.append(to_bytes(parts.vae.decode(z, return_dict=False)[0]))
        say(min(first + CHUNK, len(prompts)))
    return torch.cat(pictures)


@torch.no_grad()
def wall(crew: Mapping[str, Parts], request: ImageRequest) -> tuple[Tensor, int]:
    """The latents of a request in one batch, [num_images, C, h, w], and the calls of networks for each picture."""
    run = Run.of(request, crew)
    cond, null = encode(run.parts, request, run.texts, any(t.needs_null for t in run.turns))
    which = range(request.num_images)
    turns, cond = varied(run, which, cond)
    steps, x = begin(run, which)
    first = request.start_step or request.skip_steps
    return sample(steps, x, turns, cond, null, first), sum(t.calls for t in turns[first:])
