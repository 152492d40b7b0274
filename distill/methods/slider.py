"""Concept sliders (Gandikota et al., ECCV 2024): a LoRA of low rank that moves one attribute along its strength.

    text      L = | student(x_t, t, c; adapter at s) - (x0(c) + s push (x0(c+) - x0(c-))) |^2    s = -1 or 1
    pictures  L = | student(x_t-, t, c; adapter at -1) - x0- |^2 + | student(x_t+, t, c; adapter at 1) - x0+ |^2

Text: pairs of prompts c-, c+ say the same thing but for one attribute, and c is what they share; on the right the
adapter is off. x_t is where the student itself is on its way from noise, with the adapter on, under guidance.
Pictures: x0-, x0+ are a pair that differs in one attribute (distill/data/ends.py), with the same noise, and c is true
of both. Either way the slider keeps what varies over the pairs. Differs from the paper, which trains s = 1 alone on
text: both ends are trained, so that a slider goes both ways. It is trained on a base, and can be used on everything
that was distilled from it (models/adapters.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.fields import option
from core.stage import tell
from distill import sliding, students
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Trained
from models import sliders
from models.adapt import scaled, without
from models.denoiser import Cond
from models.prompt import shared
from models.schedule import add_noise

ABOUT = "A slider: a small LoRA, learnt from two words or from pairs of pictures, whose strength moves one attribute."
BASES = ("sana", "sd", "sdxl")
STEPS = 500
ENCODED = 32  # pictures at a time


@dataclass(frozen=True)
class Config:
    lr: float = option(2e-3, "Learning rate.", low=0, high=1)
    rank: int = option(4, "Rank of the LoRA.", low=1, high=1024)
    slider: str = option("small/big", "A slider of the box, or two words: from/to.")
    pictures: str = option("", "Picture pairs to learn from: of an attribute, or of a folder; else text.")
    pairs: int = option(512, "Pairs of pictures that are drawn, where they are not a folder's.", low=1, high=100_000)
    push: float = option(3.0, "How far strength 1 goes, in differences between the pairs' answers.", low=0, high=30)
    guidance: float = option(3.0, "Guidance on the way to a training step.", low=1, high=30)
    solver: int = option(10, "Steps from noise to data, of which a training step takes some.", low=2, high=100)

    def __post_init__(self) -> None:
        sliders.get(self.slider)
        if self.pictures:
            from distill.data import ends  # brings numpy, which forms can do without

            ends.check(self.pictures)


sources, student = sliding.sources, sliding.student


@dataclass(frozen=True)
class Drawn:
    """Pairs of pictures as latents, [N, C, h, w] each, with what is true of both."""

    low: Tensor
    high: Tensor
    cond: Cond


class Method:
    needs = {"latents"}
    strips = True

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.players = {"student": Player(world.student, cfg.lr, ema=True)}
        pairs = sliders.get(cfg.slider).pairs
        low, high = zip(*pairs, strict=True)
        self.low, self.high, self.both = (self.prompts(texts) for texts in (low, high, [shared(*p) for p in pairs]))
        self.drawn = self.draw() if cfg.pictures else None

    def prompts(self, texts: Sequence[str]) -> Cond:
        return needed(self.w.encode)(list(texts))

    def draw(self) -> Drawn:
        from distill.data import ends

        see, pairs = needed(self.w.see), ends.ends(self.cfg.pictures, self.cfg.pairs)
        low, high = [], []
        for i in range(0, len(pairs), ENCODED):
            tell("encoding pairs of pictures", i, len(pairs))
            some = pairs[i : i + ENCODED]
            low.append(see(np.stack([pair.low for pair in some])))
            high.append(see(np.stack([pair.high for pair in some])))
        return Drawn(torch.cat(low), torch.cat(high), self.prompts([pair.caption for pair in pairs]))

    def target(self, x_t: Tensor, t: Tensor, low: Cond, high: Cond, both: Cond, s: float) -> Tensor:
        """x0(c) + s push (x0(c+) - x0(c-)) of the base."""
        net = self.w.student
        with torch.no_grad(), without(net):
            return net(x_t, t, both) + s * self.cfg.push * (net(x_t, t, high) - net(x_t, t, low))

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        loss = self.of_pictures(batch, rng, self.drawn) if self.drawn else self.of_text(batch, rng)
        return Out(loss.mean())

    def of_text(self, batch: Batch, rng: Rows) -> Tensor:
        (x0, _), n = batch.latents, len(batch)
        which = rng.randint(0, len(self.low), n).to(self.low.tokens.device)
        low, high, both = (cond.map(lambda v: v[which]) for cond in (self.low, self.high, self.both))
        s, i = (1.0 if rng.shared() < 0.5 else -1.0), int(rng.shared() * self.cfg.solver)
        x_t, t = sliding.way(self.w, self.cfg, rng.randn_like(x0), both, s, i)
        answer = self.target(x_t, t, low, high, both, s)
        with scaled(self.w.student, s):
            return students.apart(self.w.student, x_t, t, both, answer)

    def of_pictures(self, batch: Batch, rng: Rows, drawn: Drawn) -> Tensor:
        net, n = self.w.student, len(batch)
        which = rng.randint(0, len(drawn.low), n).to(drawn.low.device)
        cond, noise = drawn.cond.map(lambda v: v[which]), rng.randn_like(drawn.low[:n])
        t = students.T_MIN + (1 - students.T_MIN) * rng.rand(n)
        total = torch.zeros((), device=noise.device)
        for s, x0 in ((-1.0, drawn.low[which]), (1.0, drawn.high[which])):
            with scaled(net, s):
                total = total + students.apart(net, add_noise(net.schedule, x0, noise, t), t, cond, x0)
        return total

    def preview(self, batch: Batch) -> Tensor:
        """The same noise at strengths from -1 to 1, a row for each of some prompts."""
        return sliding.strips(self.w, self.cfg, self.both, batch)


def serve(made: Trained, home: Path) -> dict:
    """Write the LoRA. Its manifest has the words for the slider's ends."""
    words = sliders.get(made.cfg.slider)
    return sliding.served(made, home, words.low, words.high)
