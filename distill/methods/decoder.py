"""A decoder that mends the latents of few-step students: the last steps of their teacher, distilled into the decoder.

    L = d(D(z + s e), x) + d(D(z_s), D_0(z_c))
    d(a, b) = |a - b| + 0.5 |da - db| + 2 (a - b)^2 + w sum_l |f_l(a) - f_l(b)|^2      (d: to the next pixel)

D is the decoder, D_0 the one that it begins as. z are the latents of a picture x, s e noise that the decoder learns to
forgive. z_s are latents that a student of few steps paints, z_c what its teacher makes of them in the last of its own
steps (distill/data/slips.py). A decoder that only ever met clean latents turns slightly wrong ones into blotches. f_l
are features of a judge of pictures (judge-a), of unit length at each place, which keep what a thing is; the other
judges are never trained on. The encoder stays, so every denoiser's latents stay valid.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.fields import option
from core.paths import cache as cache_dir
from distill.data import slips
from distill.losses import edges, l1, mse
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.methods.autoencoder import Vae, encode, written
from distill.methods.autoencoder import sources as sources  # pictures are held out, not wordings
from distill.serve import Trained
from distill.world import judge_named
from evals.judges import Judge

ABOUT = "A decoder that mends what students of few steps get slightly wrong, as their teacher would."
BASES = ("autoencoder",)
STEPS = 5000
CLEAN = 0.3  # share of the pictures whose latents get no noise
JUDGE = "judge-a"


@dataclass(frozen=True)
class Config:
    lr: float = option(3e-4, "Learning rate.", low=0, high=1)
    noise: float = option(0.1, "Most noise on the latents of pictures, which it learns to forgive.", low=0, high=2)
    slips: int = option(1600, "Latents of students that are painted, to learn what their teacher would change.", low=0)
    share: float = option(0.5, "Share of a batch that are latents of students.", low=0, high=1)
    perceptual: float = option(1.0, "Weight of the difference in the features of a judge.", low=0, high=1e6)


def student(cfg: Config, base: Vae) -> Vae:
    return base


class Features:
    """The activations of a judge after its first, middle and last layer, of unit length at each place."""

    def __init__(self, judge: Judge):
        self.layers = list(judge.requires_grad_(False).body)
        last = len(self.layers) - 1
        self.seen = {last // 4, last // 2, last}

    def __call__(self, x: Tensor) -> list[Tensor]:
        out = []
        for k, layer in enumerate(self.layers):
            x = layer(x)
            if k in self.seen:
                out.append(F.normalize(x, dim=1))
        return out


class Method:
    needs = {"pixels"}
    strips = True

    def __init__(self, world: World, cfg: Config):
        self.cfg, self.vae = cfg, world.student
        self.vae.requires_grad_(False)
        self.vae.decoder.requires_grad_(True)
        self.vae.to(memory_format=torch.channels_last)
        self.before = copy.deepcopy(self.vae)
        self.before.requires_grad_(False)
        self.features = Features(judge_named(JUDGE)) if cfg.perceptual else None
        self.slips = slips.draw(needed(world.base), cfg.slips, cache_dir()) if cfg.slips and cfg.share else None
        self.players = {"student": Player(self.vae, cfg.lr, ema=True)}

    def decode(self, vae: Vae, z: Tensor) -> Tensor:
        decoded: Any = vae.decode(z)  # pyright: ignore[reportArgumentType]  # it takes any Tensor
        return decoded.sample

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        x = needed(batch.pixels).contiguous(memory_format=torch.channels_last)
        own = round(self.cfg.share * len(x)) if self.slips else 0
        with torch.no_grad():
            z = encode(self.vae, x)
            shape = len(x), *[1] * (z.ndim - 1)
            size = self.cfg.noise * rng.rand(len(x)) * (rng.rand(len(x)) >= CLEAN)
            z = z + size.to(z).view(shape) * rng.randn_like(z)
            if self.slips:
                which = rng.randint(0, len(self.slips.painted), len(x))[:own]
                painted, mended = (v[which.cpu()].to(z) for v in (self.slips.painted, self.slips.mended))
                scale = self.vae.config.scaling_factor
                z, x = z.clone(), x.clone()
                z[:own], x[:own] = painted / scale, self.decode(self.before, mended / scale).clamp(-1, 1)
        y = self.decode(self.vae, z)
        error = mse(y, x)
        loss = l1(y, x) + 0.5 * edges(y, x) + 2 * error + self.cfg.perceptual * self.apart(y, x)
        logs = {"psnr_db": 10 * (4 / error[own:].detach()).log10().mean()} if own < len(x) else {}
        return Out(loss.mean(), logs)

    def apart(self, y: Tensor, x: Tensor) -> Tensor:
        """The difference in the judge's features, [B]."""
        if self.features is None:
            return y.new_zeros(len(y))
        with torch.no_grad():
            wanted = self.features(x)
        return sum((a - b).square().sum(1).mean((1, 2)) for a, b in zip(self.features(y), wanted, strict=True))  # pyright: ignore[reportReturnType]

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Latents of students through the decoder as it was, and below as it is; without them, of pictures."""
        z = encode(self.vae, needed(batch.pixels)[:8])
        if self.slips:
            z = self.slips.painted[:8].to(z) / self.vae.config.scaling_factor
        return torch.cat([self.decode(vae, z).float() for vae in (self.before, self.vae)])


def serve(made: Trained, home: Path) -> dict:
    """Write the autoencoder, whose encoder is the base's."""
    return written(made.student, home)
