"""A control (ControlNet, Zhang et al. 2023): a branch beside a frozen base, through which a drawing sets the layout.

    L = w(t) | eps(x_t, t, c, control) - eps |^2        (their Eq. 5, with the weights of `sft`)

The branch is trained on the base alone. Every LoRA of a UNet uses it unchanged, because LoRAs barely change the
meaning of the UNet's skip features. A Sprint student has all its weights trained, so its control is distilled
(`controlnet_sprint`). One branch serves all kinds of control, told apart by a learned token. A share of
the captions is dropped, so that the branch must read the drawing. Noise levels t are drawn above `t_min`, since
layout is decided at high noise. models/control.py and models/sana_control.py have the branches.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.fields import option
from distill import students
from distill.data import PICTURES, Source
from distill.data import sources as plain
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Trained
from models.control import FOLDER
from models.denoiser import Denoiser
from models.guidance import Turn
from models.samplers import sample
from models.schedule import add_noise
from models.stepping import DdimSteps

ABOUT = "A control: a sketch, edges, depth or areas of colour say where things are, in its base and all LoRAs of it."
BASES = ("sd", "sana")


@dataclass(frozen=True)
class Shares:
    """How often each kind of control is drawn."""

    sketch: float = option(0.55, "Share of samples with a sketch.", low=0, high=1)
    edges: float = option(0.15, "Share of samples with exact edges.", low=0, high=1)
    depth: float = option(0.15, "Share of samples with depth, where it is known.", low=0, high=1)
    colours: float = option(0.15, "Share of samples with areas of colour.", low=0, high=1)


@dataclass(frozen=True)
class Config(Shares):
    lr: float = option(1e-3, "Learning rate.", low=0, high=1)
    drop: float = option(0.2, "Share of samples trained without their caption.", low=0, high=1)
    t_min: float = option(0.15, "The smallest time t that is trained.", low=0, high=1)
    preview_steps: int = option(12, "Denoising steps of the sample grids.", low=1)
    preview_guidance: float = option(3.0, "Guidance of the sample grids.", low=0, high=30)


def sources(names: str, cfg: object, skip_bad: bool = False, side: int = 128) -> list[Source]:
    """The data set's pictures, each with its outline, edges and depth."""
    from distill.data.steered import Steered

    return [Steered(source) for source in plain(names, toys=PICTURES, skip_bad=skip_bad, side=side)]


def shares(cfg: Shares) -> tuple[float, ...]:
    """Probability of each kind of control, in the order of `manifest.CONTROLS`."""
    return cfg.sketch, cfg.edges, cfg.depth, cfg.colours


def student(cfg: Config, base: Denoiser | None) -> Denoiser:
    """The frozen base with an untrained branch, whose output is zero at first."""
    if base is None:
        raise ValueError("a control is trained beside a base; give one with --base, such as toybox-sd")
    return base.requires_grad_(False).with_control()


class Method:
    needs = {"latents", "control"}

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.players = {"student": Player(world.student, cfg.lr, ema=True)}

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        cfg, net, b, (x0, cond) = self.cfg, self.w.student, len(batch), batch.latents
        t = 1 - (1 - cfg.t_min) * rng.rand(b)
        x_t = add_noise(net.schedule, x0, rng.randn_like(x0), t)
        cond = students.drop(cond, self.w.null_like(cond), rng.rand(b) < cfg.drop)
        return Out(students.apart(net, x_t, t, cond, x0).mean())

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Guided samples of the batch's captions and controls."""
        net, (x0, cond) = self.w.student, batch.latents
        noise = Rows(0, 0, len(x0), device=x0.device).randn_like(x0)
        steps, turn = DdimSteps(net.schedule, self.cfg.preview_steps), Turn(net, self.cfg.preview_guidance)
        return needed(self.w.show)(sample(steps, noise, [turn] * len(steps.times), cond, self.w.null_like(cond)))


def serve(made: Trained, home: Path) -> dict:
    assert made.base is not None, "a control stands on a base"
    made.student.control.network.half().save_pretrained(home / FOLDER)
    return {"kind": "control", "family": made.base.manifest.family, "scheduler": None, "prediction": None}
