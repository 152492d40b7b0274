"""The judges: networks that read what is in a picture, trained on renders whose truth is known.

    L = sum over heads of cross entropy(head, truth), heads that do not apply left out

Judges read pictures that came out of an autoencoder, which blurs and quantises: so renders are blurred,
compressed and dimmed a little while they learn, never so far that one colour becomes another. `augment` scales it
all. The recogniser of emoji (`arch=emoji`) also sees them moved, scaled, turned, mirrored and tinted.
"""

from dataclasses import dataclass
from math import pi
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.method import Batch, Out, Player, Rows, World
from evals.judges import Judge
from evals.labels import Heads

TOYS = ("kind", "colour", "pattern", "size", "background", "count", "relation", "view")
TOYS += ("kind2", "colour2", "pattern2")
EMOJI = ("emoji",)


@dataclass(frozen=True)
class Config:
    arch: Literal["a", "b", "emoji"] = "a"
    lr: float = 2e-3
    smoothing: float = 0.05
    augment: float = 1.0  # 0: pictures as they are


def reads(cfg: Config) -> tuple[str, ...]:
    """The attributes that a judge of this kind is trained on."""
    return EMOJI if cfg.arch == "emoji" else TOYS


def student(cfg: Config, heads: Heads) -> Judge:
    return Judge(cfg.arch, heads)


def like(v: Tensor, x: Tensor) -> Tensor:
    return v.reshape(-1, *[1] * (x.ndim - 1))


def blurred(x: Tensor) -> Tensor:
    """[1 2 1] / 4 across and down."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    x = (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4
    return (x[..., :-2, :] + 2 * x[..., 1:-1, :] + x[..., 2:, :]) / 4


def cosine_basis(device: torch.device) -> Tensor:
    """The orthonormal discrete cosine transform of 8 samples, [frequency, sample]."""
    k = torch.arange(8.0, device=device)
    basis = torch.cos(pi / 8 * (k[None] + 0.5) * k[:, None]) / 2
    basis[0] /= 2**0.5
    return basis


def compressed(x: Tensor, step: Tensor) -> Tensor:
    """Round the cosine coefficients of 8 x 8 blocks, coarser for finer detail: what JPEG does. step [B]."""
    b, c, h, w = x.shape
    basis = cosine_basis(x.device)
    blocks = x.reshape(b, c, h // 8, 8, w // 8, 8).permute(0, 1, 2, 4, 3, 5)
    frequency = torch.arange(8.0, device=x.device)
    sizes = step[:, None, None] * (1 + frequency[:, None] + frequency[None])  # [B, 8, 8]
    sizes = sizes[:, None, None, None].clamp_min(1e-4)
    rounded = (basis @ blocks @ basis.T / sizes).round() * sizes
    return (basis.T @ rounded @ basis).permute(0, 1, 2, 4, 3, 5).reshape(b, c, h, w)


def degraded(x: Tensor, strength: float, rng: Rows) -> Tensor:
    """Blur, compression, light and noise, much as an autoencoder and a sampler leave them."""
    n = len(x)
    chosen, amount = rng.rand(n, 2) < 0.5, strength * rng.rand(n, 2)
    x = x.clone()
    soft, coarse = chosen.unbind(1)
    x[soft] = torch.lerp(x[soft], blurred(blurred(x[soft])), like(amount[soft, 0], x).clamp_max(1))
    x[coarse] = compressed(x[coarse], 0.04 * amount[coarse, 1])
    gain = 1 + 0.06 * strength * rng.randn(n, 1) + 0.03 * strength * rng.randn(n, 3)
    lift = 0.04 * strength * rng.randn(n, 1)
    x = x * gain[:, :, None, None] + lift[:, :, None, None]
    x = x + 0.04 * strength * like(rng.rand(n), x) * rng.randn_like(x)
    return x.clamp(-1, 1)


def moved(x: Tensor, strength: float, rng: Rows) -> Tensor:
    """Shifted by up to a tenth, scaled by up to a fifth, turned by about 10 degrees, half of it mirrored."""
    n = len(x)
    angle = 0.17 * strength * rng.randn(n)
    scale = 1 + 0.2 * strength * (2 * rng.rand(n) - 1)
    mirror = 1 - 2 * (rng.rand(n) < 0.5 * min(1.0, strength)).float()
    shift = 0.2 * strength * (2 * rng.rand(n, 2) - 1)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = torch.stack([torch.stack([cos * mirror, -sin], 1), torch.stack([sin * mirror, cos], 1)], 1)
    theta = torch.cat([rows, shift[..., None]], 2)  # [B, 2, 3]
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def tinted(x: Tensor, strength: float, rng: Rows) -> Tensor:
    """Hues turned by about 10 degrees around the grey axis, saturation changed by about a fifth."""
    n = len(x)
    angle, saturation = 0.17 * strength * rng.randn(n), 1 + 0.2 * strength * rng.randn(n)
    grey = torch.full((3, 3), 1 / 3, device=x.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=x.device) / 3**0.5
    turn = like(angle.cos(), x[0]) * (torch.eye(3, device=x.device) - grey) + like(angle.sin(), x[0]) * cross
    matrix = grey + like(saturation, x[0]) * turn  # [B, 3, 3]: Rodrigues' rotation about (1, 1, 1)
    return torch.einsum("bij,bjhw->bihw", matrix, x)


def accuracy(logits: Tensor, truth: Tensor) -> Tensor:
    """Share of the rows that apply, NaN where none does."""
    applies = truth >= 0
    return ((logits.argmax(1) == truth) & applies).sum() / applies.sum()


class Method:
    needs = {"pixels", "labels"}

    def __init__(self, world: World, cfg: Config):
        self.cfg, self.judge = cfg, world.student
        self.judge.to(memory_format=torch.channels_last)
        self.players = {"judge": Player(self.judge, cfg.lr, ema=True)}

    @torch.no_grad()
    def augment(self, x: Tensor, rng: Rows) -> Tensor:
        cfg = self.cfg
        if not cfg.augment:
            return x
        with torch.autocast(x.device.type, enabled=False):  # these are pictures: 8 bits of mantissa would be a blur too
            if cfg.arch == "emoji":
                x = tinted(moved(x, cfg.augment, rng), cfg.augment, rng)
            return degraded(x, cfg.augment, rng)

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        answers = self.judge(self.augment(batch.pixels, rng))
        loss = torch.zeros((), device=batch.pixels.device)
        logs = {}
        for head, truth in batch.labels.items():
            logits = answers[head].float()
            # a mean over the batch, not over the rows that apply: slices of a batch then add up to the batch
            options = {"ignore_index": -1, "label_smoothing": self.cfg.smoothing, "reduction": "none"}
            loss = loss + F.cross_entropy(logits, truth, **options).mean()
            logs[head] = accuracy(logits.detach(), truth)
        return Out(loss, logs)
