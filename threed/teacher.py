"""A text-to-image model as the teacher of a shape: x0 of renders, under a prompt with a view word or a camera."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module

import torch
import torch.nn.functional as F
from torch import Tensor

from models.camera import numbers
from models.denoiser import Cond
from models.families import Parts
from models.schedule import Schedule
from models.views import VIEWS, Camera, view_word
from threed.prompts import Background, completed


class Teacher:
    """A frozen teacher. Rows of a batch are pictures, each with its own camera and background."""

    def __init__(self, parts: Parts, prompt: str, grounds: Sequence[Background], bf16: bool = False):
        self.parts, self.bf16 = parts, bf16
        self.family = import_module(f"models.families.{parts.row.manifest.family}")
        self.grounds = list(grounds)
        views = (*VIEWS, None)
        texts = [completed(prompt, g.name, v) for g in grounds for v in views]
        with torch.no_grad():
            encoded = parts.text([*texts, ""])
        self.words = {(g.name, v): i for i, (g, v) in enumerate((g, v) for g in grounds for v in views)}
        self.encoded, self.empty = encoded.map(lambda x: x[:-1]), encoded.map(lambda x: x[-1:])

    @property
    def schedule(self) -> Schedule:
        return self.parts.denoiser.schedule

    @property
    def told_cameras(self) -> bool:
        """Whether it has a camera input, besides view words."""
        return self.parts.denoiser.camera is not None

    @property
    def size(self) -> int:
        return self.parts.row.size

    @contextlib.contextmanager
    def _quick(self) -> Iterator[None]:
        with torch.autocast(self.parts.device.type, torch.bfloat16, enabled=self.bf16):
            yield

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """The latents [B, C, h, w] of pictures [B, 3, s, s] in [0, 1]."""
        x = F.interpolate(pictures, (self.size,) * 2, mode="bilinear", antialias=True) * 2 - 1
        with self._quick():
            return self.family.encode(self.parts.vae, x.to(self.parts.device)).float()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """The pictures [B, 3, S, S] in [0, 1] of latents."""
        with self._quick():
            out = self.parts.vae.decode(latents / self.parts.vae.config.scaling_factor).sample
        return ((out.float() + 1) / 2).clamp(0, 1).cpu()

    def cond(self, cameras: Sequence[Camera], grounds: Sequence[Background], turned: int = 0) -> Cond:
        """The condition of each picture. `turned`: shift from its view word to another one."""
        words = [VIEWS[(VIEWS.index(view_word(c.azimuth, c.elevation)) + turned) % len(VIEWS)] for c in cameras]
        rows = torch.tensor([self.words[g.name, v] for g, v in zip(grounds, words, strict=True)])
        return replace(self.encoded.map(lambda x: x[rows]), camera=self._camera(cameras))

    def plain(self, cameras: Sequence[Camera], grounds: Sequence[Background]) -> Cond:
        """The prompts without view words, for the score network of VSD, which has the cameras as an input."""
        rows = torch.tensor([self.words[g.name, None] for g in grounds])
        return replace(self.encoded.map(lambda x: x[rows]), camera=numbers(cameras))

    def null(self, n: int) -> Cond:
        return replace(self.empty.map(lambda x: x.expand(n, *x.shape[1:])), camera=self._camera([None] * n))

    def _camera(self, cameras: Sequence[Camera | None]) -> Tensor | None:
        return numbers(cameras) if self.told_cameras else None

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, conds: Sequence[Cond]) -> list[Tensor]:
        """x0 of the same x_t under each condition, in one call of the network."""
        k = len(conds)
        joined = Cond(**{name: torch.cat([getattr(c, name) for c in conds]) for name in _given(conds[0])})
        with self._quick():
            out = self.parts.denoiser(x_t.repeat(k, 1, 1, 1), t.repeat(k), joined)
        return list(out.float().chunk(k))


def _given(cond: Cond) -> list[str]:
    return [name for name, value in vars(cond).items() if value is not None]
