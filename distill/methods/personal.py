"""Your own thing: a LoRA, and a word of its own, from 5 to 20 pictures of one thing.

    L = w(t) | student(x_t, t, c) - y |^2

    pictures of the thing   y = a x0 + (1 - a) base(x_t, t, c)       a: `truth`
    replayed pictures       y = base(x_t, t, c)

DreamBooth (Ruiz et al. 2023) trains the network on the pictures, and on samples of the class, so that the class is not
lost. Here the box's own data are replayed, and the base itself answers them: its answer is what a label would be
without the label's noise, and it is exactly what must not change. The word's vector is Custom Diffusion's (Kumari et
al. 2023): it is added to the word's tokens (models/learnt.py), begins at the meaning of a known word, and travels in
the adapter's file. `layers=cross` trains keys and values of the cross-attention alone, as theirs does.
A LoRA that was trained on a base can be used on everything that was distilled from it (models/stack.py).
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.fields import option
from distill import students
from distill.data import Source
from distill.data import sources as drawn
from distill.data.some import Some
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.offered import one_step, replays
from distill.serve import Trained, as_its_base
from models import learnt, lora, lora_files
from models.adapt import add_lora, without
from models.catalogue import Row, get
from models.denoiser import Cond, Denoiser
from models.guidance import Turn
from models.learnt import Word
from models.lora_files import FILE
from models.samplers import sample
from models.schedule import add_noise
from models.stepping import DdimSteps

ABOUT = "Your own thing: a LoRA and a new word, from 5 to 20 pictures of it, for the base and all of its students."
BASES = ("sd",)
STEPS = 500
FEW = 512  # pictures of each source that are replayed


@dataclass(frozen=True)
class Config:
    lr: float = option(1e-3, "Learning rate.", low=0, high=1)
    rank: int = option(16, "Rank of the LoRA.", low=1, high=1024)
    word: str = option("bobo", "The word for the thing, as its captions have it: small letters, digits and dashes.")
    noun: str = option("", "A known word with whose meaning the new word begins, such as mug.")
    vector: bool = option(True, "Whether the word gets a vector of its own, which travels in the adapter's file.")
    layers: Literal["all", "cross"] = option("all", "Layers that learn: all, or those that read the prompt alone.")
    truth: float = option(1.0, "Share of the pictures in their own target; the rest is the base's answer.", high=2)
    replay: str = option("toys+emoji", "Data of the box that keep what the base knows.", choices=replays)
    drop: float = option(0.1, "Share of samples trained without their caption.", low=0, high=1)
    beside: str = option("", "A student of the base, whose pictures stand beside the base's.", choices=one_step)
    preview_steps: int = option(10, "Denoising steps of the sample grids.", low=1)
    preview_guidance: float = option(3.0, "Guidance of the sample grids.", low=0, high=30)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", self.word):
            raise ValueError(f"word must be small letters, digits and dashes, at most 40, not {self.word!r:.60}")


def sources(names: str, cfg: Config, skip_bad: bool, side: int) -> list[Source]:
    """The pictures of the thing, as often as the replayed ones."""
    replayed = [Some(source, FEW) for source in drawn(cfg.replay, toys=FEW, side=side)]
    own = drawn(names, toys=FEW, skip_bad=skip_bad, side=side)
    return [*own * max(1, len(replayed) // len(own)), *replayed]


def student(cfg: Config, base: Denoiser | None) -> Denoiser:
    """The base with an adapter, and the vector of the word; neither has an effect yet."""
    net = students.taught(base)
    net = add_lora(net, cfg.rank, targets=net.readers if cfg.layers == "cross" else net.targets)
    net.word = nn.Parameter(torch.zeros(net.token_width)) if cfg.vector else None
    return net


class Method:
    needs = {"latents"}
    strips = True

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.players = {"student": Player(world.student, cfg.lr, ema=True)}
        self.start = self.meaning() if cfg.vector and cfg.noun else None

    @torch.no_grad()
    def meaning(self) -> Tensor:
        """What must be added to the word's tokens so that they are, in the mean, those of the known word, [D]."""
        one, other = (self.mean(f"a {name}", name) for name in (self.cfg.word, self.cfg.noun))
        return other - one

    def mean(self, text: str, name: str) -> Tensor:
        cond, where = needed(self.w.encode)([text]), self.spot([text], name)
        return cond.tokens[where].mean(0)

    def spot(self, captions: Sequence[str], name: str) -> Tensor:
        return needed(self.w.spot)(list(captions), name)

    def begin(self, player: str) -> None:
        """The vector begins at the meaning of the known word."""
        if self.start is not None:
            self.w.student.word.data.copy_(self.start)

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        net, n, (x0, cond) = self.w.student, len(batch), batch.latents
        t = 1 - rng.rand(n)  # never 0, where eps is undefined
        x_t = add_noise(net.schedule, x0, rng.randn_like(x0), t)
        hidden = rng.rand(n) < self.cfg.drop
        own = self.own(batch).to(hidden.device) & ~hidden
        plain = students.drop(cond, self.w.null_like(cond), hidden)
        target = self.target(x_t, t, plain, x0, own)
        read = students.drop(self.told(cond, batch.captions), self.w.null_like(cond), hidden)
        return Out(students.apart(net, x_t, t, read, target).mean())

    def own(self, batch: Batch) -> Tensor:
        """Which of the batch's pictures show the thing, bool [B]."""
        word = learnt.pattern(self.cfg.word)
        return torch.tensor([word.search(caption) is not None for caption in batch.captions])

    def told(self, cond: Cond, captions: Sequence[str]) -> Cond:
        """The captions with the word's vector."""
        word = self.w.student.word
        if word is None:
            return cond
        length = cond.tokens.shape[1]
        where = nn.functional.pad(self.spot(captions, self.cfg.word), (0, length))[:, :length]
        return learnt.added(cond, where, word)

    def target(self, x_t: Tensor, t: Tensor, cond: Cond, x0: Tensor, own: Tensor) -> Tensor:
        """The x0 that the student should answer, of the base but for the share of the pictures' own."""
        with torch.no_grad(), without(self.w.student):
            base = self.w.student(x_t, t, cond)
        share = self.cfg.truth * own.to(x0).view(-1, *[1] * (x0.ndim - 1))
        return share * x0 + (1 - share) * base

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Guided samples of the batch's captions, with plain DDIM; each with the student's picture beside it."""
        net, (x0, cond) = self.w.student, batch.latents
        steps, turn = DdimSteps(net.schedule, self.cfg.preview_steps), Turn(net, self.cfg.preview_guidance)
        noise = Rows(0, 0, len(x0), device=x0.device).randn_like(x0)
        prompts = self.told(cond, batch.captions)
        drawn = [sample(steps, noise, [turn] * len(steps.times), prompts, self.w.null_like(cond))]
        if self.cfg.beside:
            other = stacked(net, get(self.cfg.beside))
            drawn.append(other(noise, torch.ones(len(noise), device=noise.device), prompts))
        return needed(self.w.show)(torch.stack(drawn, 1).flatten(0, 1))


def stacked(net: Denoiser, row: Row) -> Denoiser:
    """A copy of the network with this student's LoRA in its weights, and its own adapter still on."""
    network = copy.deepcopy(net.network)
    layers: dict[str, Any] = dict(lora_files.places(network))
    for name, pair in lora_files.fitted(lora_files.read(lora.file(row)), network, row.id).items():
        weight = layers[name].weight
        weight.data += pair.delta().to(weight)
    return type(net)(network, net.dtype)


def serve(made: Trained, home: Path) -> dict:
    """Write the LoRA as a model on its base, and the word into its file."""
    facts, vector = as_its_base(made, home), made.student.word
    if vector is not None:
        learnt.write(home / FILE, Word(made.cfg.word, vector))
    return facts | {"lora": facts["lora"] | {"word": made.cfg.word}}
