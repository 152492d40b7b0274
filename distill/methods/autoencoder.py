"""The autoencoder of a latent diffusion model: it maps pictures to latents 16 times smaller, and back.

    L = |x - y| + 0.5 |dx - dy| + 2 (x - y)^2 + 1e-3 |z|^2      (d: differences of neighbouring pixels)

It is an AutoencoderDC (deep compression, Chen et al. 2024) for SANA, an AutoencoderKL for Stable Diffusion. It differs
from both papers: there is no perceptual network, as that would need a download. With `decoder_only` the encoder is
fixed, so that the latents of trained denoisers stay valid while pictures sharpen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import AutoencoderDC, AutoencoderKL
from torch import Tensor

from core.fields import option
from core.paths import cache as cache_dir
from distill import data, world
from distill.data import cache
from distill.losses import edges, l1, mse
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Trained
from models import families, weights

ABOUT = "An autoencoder: pictures to latents 16 times smaller, and back."
BASES = ("none", "autoencoder")
FAMILIES = {"dc": "sana", "kl": "sd"}  # the family of each kind
MEASURED, NUDGE = 128, 0.2  # pictures, and the change of their latents, by which a channel's cost is measured
Vae = AutoencoderDC | AutoencoderKL


@dataclass(frozen=True)
class Config:
    kind: Literal["dc", "kl"] = option("dc", "AutoencoderDC, for SANA, or AutoencoderKL, for Stable Diffusion.")
    lr: float = option(1e-3, "Learning rate.", low=0, high=1)
    width: int = option(16, "Channels at full resolution (dc) or at half of it (kl).", low=1, multiple=4, high=1024)
    latent_channels: int = option(16, "Channels of the latents.", low=1, high=256)
    edges: float = option(
        0.5, "Weight of the differences of neighbouring pixels, which keep outlines sharp.", low=0, high=1e6
    )
    squared: float = option(2.0, "Weight of the squared error.", low=0, high=1e6)
    latent: float = option(1e-3, "Weight that draws the mean of every latent channel to zero.", low=0, high=1e6)
    decoder_only: bool = option(False, "Trains the decoder only, so that the latents stay the same.")


def sources(names: str, cfg: Config, skip_bad: bool, side: int) -> list[data.Source]:
    """The data set with pictures held out, not wordings, and with fewer toys."""
    return data.sources(names, toys=data.PICTURES, hold="pictures", skip_bad=skip_bad, side=side)


def student(cfg: Config, base: Vae | None) -> Vae:
    """A new autoencoder, or the base's, to be trained further."""
    if base is not None:
        return base
    return families.family(FAMILIES[cfg.kind]).new_autoencoder(cfg)


def encode(vae: Any, x: Tensor) -> Tensor:
    """Latents [B, C, H/16, W/16] of pictures [B, 3, H, W] in [-1, 1], on the scale of its decoder."""
    return families.of_autoencoder(vae).encode(vae, x) / vae.config.scaling_factor


class Method:
    needs = {"pixels"}
    strips = True

    def __init__(self, world: World, cfg: Config):
        self.cfg, self.vae = cfg, world.student
        self.vae.requires_grad_(True)
        if cfg.decoder_only:
            self.vae.encoder.requires_grad_(False)
        self.vae.to(memory_format=torch.channels_last)
        self.players = {"student": Player(self.vae, cfg.lr, ema=True)}

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        x, cfg = needed(batch.pixels), self.cfg
        x = x.contiguous(memory_format=torch.channels_last)
        z = encode(self.vae, x)
        y = self.vae.decode(z).sample
        error = mse(y, x)
        loss = l1(y, x) + cfg.edges * edges(y, x) + cfg.squared * error
        loss = loss + cfg.latent * z.float().square().flatten(1).mean(1)
        return Out(loss.mean(), {"psnr_db": 10 * (4 / error.detach()).log10().mean(), "latent_std": z.detach().std()})

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Pictures above, their reconstructions below."""
        x = needed(batch.pixels)[:8]
        return torch.cat([x, self.vae.decode(encode(self.vae, x)).sample.float()])


@torch.no_grad()
def fold(vae: Vae, scale: Tensor) -> None:
    """Fold a scale [C] of the latents into the weights: the encoder then gives z / scale, the decoder takes it back,
    and the pictures stay the same.

    The mean is not shifted, as the zero padding of the decoder's first layer would then have another value.
    """
    mean = slice(0, len(scale))  # the last layer of AutoencoderKL also gives the log variance
    last = vae.encoder.conv_out
    assert last.bias is not None, "diffusers' always has one"
    last.weight[mean] /= scale[:, None, None, None]
    last.bias[mean] /= scale
    vae.decoder.conv_in.weight *= scale[None, :, None, None]


@torch.no_grad()
def isometry(vae: Vae, pictures: Tensor) -> Tensor:
    """The divisor of each channel [C], with which the latents have unit variance as a whole and each channel has the
    variance that it is worth to the pictures.

    With unit deviation in each channel all would weigh alike for a denoiser, though one channel has most of the visible
    content and half of them hardly show. The family's `channel_shape` chooses between equal deviation and equal cost.
    """
    decode: Callable[[Tensor], Any] = vae.decode  # pyright: ignore[reportAssignmentType]  # it takes any Tensor
    z = encode(vae, pictures)
    plain, deviation = decode(z).sample, z.square().mean((0, 2, 3)).sqrt()
    noise = torch.randn(z[:, 0].shape, generator=torch.Generator().manual_seed(0))
    costs = []
    for c, size in enumerate(NUDGE * deviation):
        nudged = z.clone()
        nudged[:, c] += size * noise
        costs.append((decode(nudged).sample - plain).square().mean().sqrt() / size)
    cost = torch.stack(costs)  # root mean square change of the pictures for a unit change of a channel
    shape = families.of_autoencoder(vae).channel_shape(cost, deviation)
    return shape * (deviation / shape).square().mean().sqrt()


def some_pictures(made: Trained, n: int) -> Tensor:
    """About n pictures of the training set, [n, 3, H, W]."""
    facts = made.facts
    chosen = sources(facts["dataset"], made.cfg, facts["skip_bad"], world.side(made.base))
    parts = [cache.draw(source, cache_dir()) for source in chosen]
    rows = [part[i] for part in parts for i in range(min(n // len(parts), len(part)))]
    return world.pixels(np.stack(rows))


def serve(made: Trained, home: Path) -> dict:
    """Scale the latents by `isometry` and write the autoencoder. The scale is folded into the encoder's last and the
    decoder's first layer, so plain diffusers pipelines need no statistics of ours."""
    vae = made.student
    if not made.cfg.decoder_only:
        fold(vae, isometry(vae, some_pictures(made, MEASURED)))
    facts = written(vae, home)
    return facts if made.cfg.decoder_only else facts | {"latents": weights.digest(vae.encoder)[:12]}


def written(vae: Any, home: Path) -> dict:
    """Write an autoencoder in half precision, in place. Returns its fields of the manifest."""
    vae.half().to(memory_format=torch.contiguous_format).save_pretrained(home / "vae")
    family = families.of_autoencoder(vae).__name__.rpartition(".")[2]
    return {"kind": "autoencoder", "family": family, "scheduler": None, "prediction": None, "base": None}
