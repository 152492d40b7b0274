"""An enlarger: a small network that imitates a large one on the pictures that the box paints.

    L = |y - T(x)| + w |dy - dT(x)|      (T: the teacher, Real-ESRGAN; d: differences of neighbouring pixels)

The teacher's pictures are the only targets. The inputs are painted by the served models, so the student needs to know
only those. The term of differences keeps outlines as sharp as the teacher's. A step uses one square window of each
picture. Pixels so near to the window's edge that the student can't see all around them are not counted, unless the edge
is the picture's own.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.fields import option
from distill.losses import edges, l1, mse
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Trained
from models.enlarger import FACTOR, Enlarger

ABOUT = "An enlarger: pictures four times as large, as Real-ESRGAN (BSD-3-Clause) makes them, at a tenth of its size."
BASES = ("none",)
STEPS = 20_000


@dataclass(frozen=True)
class Config:
    width: int = option(32, "Channels of the network.", low=1, high=1024)
    depth: int = option(6, "Convolutions, one after the other.", low=2, high=64)
    window: int = option(64, "Pixels on a side that a step looks at in each picture.", low=16, high=4096)
    edges: float = option(
        1.0, "Weight of the differences of neighbouring pixels, which are the outlines.", low=0, high=1e6
    )
    lr: float = option(2e-3, "Learning rate.", low=0, high=1)


def student(cfg: Config, base: None) -> Enlarger:
    """A new enlarger, whose output is the enlarged pixels themselves; it learns what to add."""
    net = Enlarger(cfg.width, cfg.depth)
    for w in net.body[-1].parameters():
        torch.nn.init.zeros_(w)
    return net


def corners(n: int, side: int, window: int, reach: int, rng: Rows) -> Tensor:
    """The corners of the windows of n pictures, [n, 2], at the picture's edges as often as elsewhere."""
    at = rng.rand(n, 2) * (side - window + 2 * reach + 1) - reach
    return at.floor().long().clamp(0, side - window)


def counted(corner: Tensor, side: int, window: int, reach: int) -> Tensor:
    """The mask of the pixels that count, [B, 1, window, window], 0 or 1."""
    place = torch.arange(window, device=corner.device)
    low = (corner == 0)[..., None] | (place >= reach)
    high = (corner == side - window)[..., None] | (place < window - reach)
    rows, columns = (low & high).float().unbind(1)
    return (rows[:, :, None] * columns[:, None, :])[:, None]


def windows(x: Tensor, corner: Tensor, size: int) -> Tensor:
    return torch.stack(
        [p[:, t : t + size, left : left + size] for p, (t, left) in zip(x, corner.tolist(), strict=True)]
    )


class Method:
    needs = {"pixels", "enlarged"}
    strips = True

    def __init__(self, world: World, cfg: Config):
        self.cfg, self.net = cfg, world.student
        self.net.to(memory_format=torch.channels_last)
        self.players = {"student": Player(self.net, cfg.lr, ema=True)}

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        pixels, large = needed(batch.pixels), needed(batch.enlarged)
        side = pixels.shape[-1]
        size = min(self.cfg.window, side)
        corner = corners(len(pixels), side, size, self.net.reach, rng)
        mask = counted(corner, side, size, self.net.reach)
        mask = mask.repeat_interleave(FACTOR, 2).repeat_interleave(FACTOR, 3)
        x = windows(pixels, corner, size).contiguous(memory_format=torch.channels_last)
        target = windows(large, corner * FACTOR, size * FACTOR).float() / 127.5 - 1
        y, target = self.net(x) * mask, target * mask
        share = mask.flatten(1).mean(1)
        error = mse(y.detach(), target) / share
        loss = (l1(y, target) + self.cfg.edges * edges(y, target)) / share
        return Out(loss.mean(), {"psnr_db": 10 * (4 / error).log10().mean()})

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Pictures enlarged by the student above, by the teacher below."""
        x, large = needed(batch.pixels)[:4], needed(batch.enlarged)[:4]
        return torch.cat([self.net(x).float().clamp(-1, 1), large.float() / 127.5 - 1])


def serve(made: Trained, home: Path) -> dict:
    made.student.save(home)
    return {"kind": "enlarger", "family": "enlarger", "scheduler": None, "prediction": None, "base": None}
