"""A teacher with a camera condition: an embedding of the camera, and the network that reads it, by the loss on data.

    L = w(t) | eps(x_t, t, c, camera) - eps |^2        (Ho et al. 2020, Eq. 14, with one more condition)

View words name only four sectors, so text to 3D with view words alone smears details that one side shows. A share of
the samples has no camera (all zeros), so that a prompt alone paints as before. Another share has neither caption nor
camera, which is the empty prompt of guidance. The view is decided in noise, so t is drawn above `t_min`. Pictures that
a turn of the camera changes are drawn most often.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.fields import option
from distill import students
from distill.data.toys.kinds import FACED
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.methods import sft
from distill.serve import Trained, as_its_base
from models.camera import noise_scale, numbers, save
from models.denoiser import Denoiser
from models.guidance import Turn
from models.samplers import sample
from models.schedule import add_noise
from models.stepping import DdimSteps
from models.views import Camera

ABOUT = "A teacher that takes the camera as an input, for text to 3D and for views of one thing from any side."
BASES = ("sd", "sdxl")
FURTHER = True  # the result is its base, trained further
FORGETS = True


@dataclass(frozen=True)
class Config:
    lr: float = option(2e-3, "Learning rate.", low=0, high=1)
    rank: int = option(0, "Rank of the LoRA; 0 trains the whole network.", low=0, high=1024)
    begin: float = option(0.5, "Size of the new camera's features, beside those of noise.", low=0, high=10)
    drop: float = option(0.05, "Share of samples trained without caption and camera.", low=0, high=1)
    unknown: float = option(0.05, "Share of samples trained with a caption but no camera.", low=0, high=1)
    t_min: float = option(0.4, "The smallest time t that is trained.", low=0, high=1)
    preview_steps: int = option(16, "Denoising steps of the sample grids.", low=1)
    preview_guidance: float = option(3.0, "Guidance of the sample grids.", low=0, high=30)


SIDED = FACED | {"mug", "teapot", "key"}  # kinds that look different from some side
RARE = 0.1  # weight of all other pictures


def often(attributes: dict) -> float:
    """The weight of a picture when a batch is drawn: 1 for a single thing that a turn of the camera changes."""
    return 1.0 if attributes.get("kind") in SIDED and attributes.get("count") == 1 else RARE


def student(cfg: Config, base: Denoiser | None) -> Any:
    """The base, or an adapter on it, with its own embedding of the camera or a new, random one. Without a camera it is
    the base until it is trained."""
    net: Any = students.student(cfg, base)
    if net.camera is None:
        net.with_camera().camera.begin(cfg.begin * noise_scale(net.network))
    return net


def cameras(batch: Batch, rng: Rows) -> Tensor:
    """The cameras of the batch's pictures, [B, 4]. A picture without one gets any: an emoji shows the same to all."""
    rows, azimuths = batch.truth or [{}] * len(batch), (360 * rng.rand(len(batch))).tolist()
    return numbers([Camera(r.get("azimuth", a), r.get("elevation", 20.0)) for r, a in zip(rows, azimuths, strict=True)])


class Method:
    needs = {"latents"}

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.players = {"student": Player(world.student, cfg.lr, ema=True)}

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        cfg, net, b, (x0, cond) = self.cfg, self.w.student, len(batch), batch.latents
        t = 1 - (1 - cfg.t_min) * rng.rand(b)
        x_t = add_noise(net.schedule, x0, rng.randn_like(x0), t)
        hidden = rng.rand(b) < cfg.drop
        unknown = hidden | (rng.rand(b) < cfg.unknown)
        camera = cameras(batch, rng).to(x0).masked_fill(unknown[:, None], 0)
        cond = replace(students.drop(cond, self.w.null_like(cond), hidden), camera=camera)
        return Out(students.apart(net, x_t, t, cond, x0).mean())

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Samples of the batch's captions, each with its picture's camera, from the same noise."""
        net, (x0, cond) = self.w.student, batch.latents
        rng = Rows(0, 0, len(x0), device=x0.device)
        noise, camera = rng.randn_like(x0), cameras(batch, rng).to(x0)
        cond = replace(cond, camera=camera)
        null = replace(self.w.null_like(cond), camera=torch.zeros_like(camera))
        steps, turn = DdimSteps(net.schedule, self.cfg.preview_steps), Turn(net, self.cfg.preview_guidance)
        return needed(self.w.show)(sample(steps, noise, [turn] * len(steps.times), cond, null))


def serve(made: Trained, home: Path) -> dict:
    """Write the network or the LoRA, with the camera embedding in a file of its own."""
    embedding = made.student.camera
    assert embedding is not None, "`student` adds it"
    save(embedding, home)
    return as_its_base(made, home) if made.cfg.rank else sft.serve(made, home)
