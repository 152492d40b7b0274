"""Sliders without words (SliderSpace, Gandikota et al., ICCV 2025): what pictures of one prompt differ in.

    phi      features of judge-a of a decoded picture; of the 2-D mixture, the points themselves
    v_k      principal directions of phi over pictures of the prompt, whose standard deviations are sigma_k
    L        | phi(x0(x_t, t, c; adapter at s)) - phi(x0(x_t, t, c; adapter off)) - s push sigma_k v_k |^2
             / (push sigma_k)^2                                                               s = -1 or 1

x0 is the network's answer in one step, decoded, through which gradients flow; x_t is where the base is on its way from
noise. One training learns one direction. Differs from the paper, whose loss is the cosine between the change of phi
and v_k, with s = 1 alone: it leaves open how far strength 1 goes. Here it goes `push` standard deviations of what the
prompt varies in, either way.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.fields import option
from core.stage import tell
from distill import sliding
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Trained
from models.adapt import scaled, without
from models.denoiser import Cond

ABOUT = "A slider without words: a small LoRA for one of the directions in which pictures of a prompt differ."
BASES = ("sana", "sd", "sdxl")
STEPS = 200
AT_ONCE = 16  # pictures
MOST = 32  # directions


@dataclass(frozen=True)
class Config:
    lr: float = option(2e-3, "Learning rate.", low=0, high=1)
    rank: int = option(4, "Rank of the LoRA.", low=1, high=1024)
    prompt: str = option("a car", "The prompt whose pictures differ.")
    direction: int = option(1, "Which direction: 1 is the one in which they differ most.", low=1, high=MOST)
    pictures: int = option(256, "Pictures of which the directions are computed.", low=MOST + 1, high=100_000)
    push: float = option(1.5, "How far strength 1 goes, in standard deviations along the direction.", low=0, high=30)
    guidance: float = option(3.0, "Guidance on the way to a training step.", low=1, high=30)
    solver: int = option(10, "Steps from noise to data, of which a training step takes some.", low=2, high=100)


sources, student = sliding.sources, sliding.student


def principal(features: Tensor, k: int) -> tuple[Tensor, float]:
    """The k-th principal direction of features [N, D], of unit length, with its largest entry positive, and the
    standard deviation along it. k begins at 1."""
    centred = features - features.mean(0)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    v = directions[k - 1]
    return v * v[v.abs().argmax()].sign(), float(sizes[k - 1]) / len(features) ** 0.5


class Method:
    needs = {"latents", "look"}
    strips = True

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.players = {"student": Player(world.student, cfg.lr, ema=True)}
        self.both = needed(world.encode)([cfg.prompt])
        self.step: Tensor | None = None

    def pushed(self, x0: Tensor) -> Tensor:
        """push sigma_k v_k [D], of pictures in the shape of x0, which are painted once."""
        if self.step is None:
            seen, n, look = [], self.cfg.pictures, needed(self.w.look)
            for i in range(0, n, AT_ONCE):
                tell("painting pictures that differ", i, n)
                rows = min(AT_ONCE, n - i)
                noise = Rows(0, i, rows, device=x0.device).randn(rows, *x0.shape[1:])
                with torch.no_grad():
                    seen.append(look(sliding.ends(self.w, self.cfg, noise, self.prompts(rows), 0.0)))
            v, sigma = principal(torch.cat(seen), self.cfg.direction)
            self.step = self.cfg.push * sigma * v
        return self.step

    def prompts(self, n: int) -> Cond:
        return self.both.map(lambda v: v.expand(n, *v.shape[1:]))

    def target(self, seen: Tensor, s: float, step: Tensor) -> Tensor:
        """phi(x0) of the base, moved."""
        return seen + s * step

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        (x0, _), cond, look, net = batch.latents, self.prompts(len(batch)), needed(self.w.look), self.w.student
        step, i = self.pushed(x0), int(rng.shared() * self.cfg.solver)
        x_t, t = sliding.way(self.w, self.cfg, rng.randn_like(x0), cond, 0.0, i)
        with torch.no_grad(), without(net):
            seen = look(net(x_t, t, cond))
        total = torch.zeros((), device=x0.device)
        for s in (-1.0, 1.0):
            with scaled(net, s):
                moved = look(net(x_t, t, cond))
            total = total + (moved - self.target(seen, s, step)).square().sum(1).mean() / 2
        return Out(total / step.square().sum())

    def preview(self, batch: Batch) -> Tensor:
        """The same noise at strengths from -1 to 1, a row for each of four seeds."""
        return sliding.strips(self.w, self.cfg, self.prompts(4), batch)


def serve(made: Trained, home: Path) -> dict:
    """Write the LoRA. No words say what its ends are."""
    of = f"{made.cfg.prompt}, direction {made.cfg.direction}"
    return sliding.served(made, home, f"{of}: one way", "the other")
