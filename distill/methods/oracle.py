"""The judges: classifiers of pictures, trained on renders whose attributes are known.

    L = sum over heads of cross entropy(head, truth), heads that do not apply left out

Judges read pictures from an autoencoder, which blurs and quantises. So the renders are blurred, compressed and dimmed a
little in training; `augment` scales all of it. Ten thousand renders are soon overfitted, so toys are also mirrored and
moved. Some rows are changed more, and lose the labels that are then wrong: with turned hues the colours, with a large
move size and view. Emoji (`arch=emoji`) have their name as the only label, so all of them are moved and tinted.
"""

from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from core.fields import option
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Trained
from evals.judges import Judge
from evals.labels import PAIRED, Heads
from models.schedule import like

ABOUT = "A judge: a classifier of pictures, which measures generators."
BASES = ("none",)
TOYS = ("kind", "colour", "pattern", "size", "background", "count", "relation", "view")
TOYS += ("kind2", "colour2", "pattern2")
EMOJI = ("emoji",)
COLOURS, PLACES = ("colour", "colour2", "background"), ("size", "view")
WILD = 0.35  # share of rows that lose their labels of colours, and of those that lose their labels of places
NEAR = 0.3  # strength of moves that keep all labels


@dataclass(frozen=True)
class Config:
    arch: Literal["a", "b", "emoji"] = option("a", "Architecture: a and b recognise toys, emoji recognises names.")
    lr: float = option(2e-3, "Learning rate.", low=0, high=1)
    smoothing: float = option(0.05, "Label smoothing: share that is spread over all classes.", low=0, high=0.99)
    augment: float = option(1.0, "Strength of the augmentation; 0 has none.", low=0, high=10)


def reads(cfg: Config) -> tuple[str, ...]:
    """The attributes that a judge of this kind is trained on."""
    return EMOJI if cfg.arch == "emoji" else TOYS


def student(cfg: Config, heads: Heads) -> Judge:
    return Judge(cfg.arch, heads)


def blurred(x: Tensor) -> Tensor:
    """The picture filtered by [1 2 1] / 4 along both axes."""
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
    """The picture with the cosine coefficients of 8 x 8 blocks rounded, coarser for finer detail, as in JPEG. step
    [B]."""
    b, c, h, w = x.shape
    basis = cosine_basis(x.device)
    blocks = x.reshape(b, c, h // 8, 8, w // 8, 8).permute(0, 1, 2, 4, 3, 5)
    frequency = torch.arange(8.0, device=x.device)
    sizes = step[:, None, None] * (1 + frequency[:, None] + frequency[None])  # [B, 8, 8]
    sizes = sizes[:, None, None, None].clamp_min(1e-4)
    rounded = (basis @ blocks @ basis.T / sizes).round() * sizes
    return (basis.T @ rounded @ basis).permute(0, 1, 2, 4, 3, 5).reshape(b, c, h, w)


def degraded(x: Tensor, strength: float, rng: Rows) -> Tensor:
    """The picture with blur, compression, changed light and noise, much as from an autoencoder and a sampler."""
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


def mirrored(x: Tensor, truth: dict[str, Tensor], left: int | None, rng: Rows) -> tuple[Tensor, dict[str, Tensor]]:
    """Half of the pictures are mirrored. `left`: the class of "left of".

    The left thing is the first in the labels (evals/labels.py), so the two things change places there.
    """
    flip = rng.rand(len(x)) < 0.5
    x = torch.where(like(flip, x), x.flip(3), x)
    if left is None:
        return x, truth
    swap, out = flip & (truth["relation"] == left), dict(truth)
    for name in PAIRED:
        first, second = truth[name], truth[name + "2"]
        out[name], out[name + "2"] = torch.where(swap, second, first), torch.where(swap, first, second)
    return x, out


def moved(x: Tensor, strength: Tensor, rng: Rows) -> Tensor:
    """Pictures turned, scaled and shifted: at strength [B] 1 by about 10 degrees, 0.8 to 1.1 times, and a tenth."""
    n = len(x)
    angle, scale = 0.17 * strength * rng.randn(n), 1 + strength * (0.35 * rng.rand(n) - 0.1)
    shift = 0.2 * strength[:, None] * (2 * rng.rand(n, 2) - 1)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    grid = F.affine_grid(torch.cat([rows, shift[..., None]], 2), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def tinted(x: Tensor, angle: Tensor, saturation: Tensor) -> Tensor:
    """Pictures with hues turned by angles [B] around the grey axis (Rodrigues) and saturation [B] times as strong."""
    grey = torch.full((3, 3), 1 / 3, device=x.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=x.device) / 3**0.5
    turn = angle.cos()[:, None, None] * (torch.eye(3, device=x.device) - grey) + angle.sin()[:, None, None] * cross
    return torch.einsum("bij,bjhw->bihw", grey + saturation[:, None, None] * turn, x)


def accuracy(logits: Tensor, truth: Tensor) -> Tensor:
    """The share of right answers among the rows with a label; NaN where there are none."""
    applies = truth >= 0
    return ((logits.argmax(1) == truth) & applies).sum() / applies.sum()


class Method:
    needs = {"pixels", "labels"}

    def __init__(self, world: World, cfg: Config):
        self.cfg, self.judge = cfg, world.student
        self.judge.to(memory_format=torch.channels_last)
        self.players = {"judge": Player(self.judge, cfg.lr, ema=True)}
        relations = self.judge.classes.get("relation", [])
        self.left = relations.index("left of") if "left of" in relations else None

    @torch.no_grad()
    def augment(self, x: Tensor, truth: dict[str, Tensor], rng: Rows) -> tuple[Tensor, dict[str, Tensor]]:
        """Augmented pictures, and the labels that are still true of them."""
        n, strength = len(x), self.cfg.augment
        if not strength:
            return x, truth
        x, truth = mirrored(x, truth, self.left, rng)
        wild, turn, saturation = rng.rand(n, 2) < WILD, rng.rand(n) * 2 * pi, 1 + 0.2 * strength * rng.randn(n)
        far, tint = wild.unbind(1)
        if self.cfg.arch == "emoji":
            x = moved(x, torch.full_like(turn, strength), rng)
            x = tinted(x, 0.17 * strength * rng.randn(n), saturation)
        else:
            x = moved(x, strength * torch.where(far, 1.0, NEAR), rng)
            x[tint] = tinted(x[tint], turn[tint], saturation[tint])
            given_up = dict.fromkeys(COLOURS, tint) | dict.fromkeys(PLACES, far)
            truth = {k: v.masked_fill(given_up[k], -1) if k in given_up else v for k, v in truth.items()}
        return degraded(x, strength, rng), truth

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        pixels = needed(batch.pixels)
        with torch.autocast(pixels.device.type, enabled=False):  # bf16 is too coarse for pictures
            shown, targets = self.augment(pixels, batch.labels, rng)
        answers = self.judge(shown)
        loss, logs = torch.zeros((), device=shown.device), {}
        for head, truth in targets.items():
            logits = answers[head].float()
            # the mean over the batch, not over the rows with a label, so that slices of a batch add up to the batch
            options = {"ignore_index": -1, "label_smoothing": self.cfg.smoothing, "reduction": "none"}
            loss = loss + F.cross_entropy(logits, truth, **options).mean()
            logs[head] = accuracy(logits.detach(), truth)
        return Out(loss, logs)


def serve(made: Trained, home: Path) -> dict:
    made.student.save(home)
    return {"kind": "judge", "family": "judge", "scheduler": None, "prediction": None, "base": None}
