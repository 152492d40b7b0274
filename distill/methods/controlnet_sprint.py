"""SANA-Sprint's ControlNet (Chen et al. 2025, Sec. 4.4): the teacher's control, distilled for a frozen Sprint student.

    L = | F(x_t, t, c, control) - stop(F) - g |^2, with g from the teacher's guided path under its own control

This is the consistency loss of `scm_ladd` with a drawing in the condition of both. The student's network is frozen; the
branch beside it begins as the teacher's. The paper adds a discriminator; here it is left out, as it changed nothing for
the student itself (docs/methods/scm_ladd.md).
"""

from dataclasses import dataclass, replace
from typing import Any

import torch

from core.fields import option
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.methods import controlnet, scm_ladd
from models import catalogue, families, steer
from models.catalogue import Row
from models.denoiser import Denoiser, TrigFlow

ABOUT = "The control of a SANA, distilled for its Sprint student, which then follows a drawing in one step."
BASES = ("sprint",)
sources, shares, serve = controlnet.sources, controlnet.shares, controlnet.serve


@dataclass(frozen=True)
class Config(controlnet.Shares):
    teacher: str = option("toybox-sana-control", "The control of the student's own teacher.")
    lr: float = option(5e-4, "Learning rate.", low=0, high=1)
    guidance: tuple[float, ...] = option(
        (2.0, 5.0), "Range from which training draws the guidance.", low=0, high=30, length=2, order="rising"
    )
    t_mean: float = option(0.2, "Mean of tau, with tan theta = e^tau / sigma_data.", low=-10, high=10)
    t_std: float = option(1.6, "Deviation of tau.", low=0.001, high=10)
    warmup: int = option(100, "Steps until the tangent has its full weight.", low=0)
    tangent_norm: float = option(0.1, "Added to a tangent's length before it is divided by it.", low=0, high=1e6)

    tangent = "difference"  # how it is computed


def control(id: str) -> Row:
    """The row of a SANA's control. Raises ValueError for anything else."""
    controls = [r for r in catalogue.rows().values() if (r.manifest.kind, r.manifest.family) == ("control", "sana")]
    if (row := catalogue.get(id)) not in controls:
        valid = [r.id for r in controls]
        raise ValueError(f"{id} is no control of a SANA; valid: {', '.join(valid) or 'none is here'}")
    return row


def branch(row: Row) -> Any:
    return steer.load(row, torch.device("cpu"), torch.float32)


def teacher(id: str) -> TrigFlow:
    """The base of this control, with the control beside it, in TrigFlow."""
    row = control(id)
    base = families.load(catalogue.get(row.manifest.base or "")).denoiser
    return TrigFlow(base.controlled(branch(row), 1.0)).eval().requires_grad_(False)


def student(cfg: Config, base: Denoiser | None) -> Denoiser:
    """The frozen Sprint student, with the teacher's branch beside it."""
    if base is None:
        raise ValueError("a control is distilled for a Sprint student; give one with --base, such as toybox-sprint")
    made: Any = base.requires_grad_(False).with_control()
    made.control.load_state_dict(branch(control(cfg.teacher)).state_dict())
    return made


class Method(scm_ladd.Method):
    needs = {"latents", "control"}
    every = 1

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.teacher = teacher(cfg.teacher).to(next(world.student.parameters()).device)
        self.players = {"student": Player(world.student, cfg.lr, ema=True)}

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        low, high = self.cfg.guidance
        cond = replace(needed(batch.cond), guidance=low + (high - low) * rng.rand(len(batch)))
        loss, size = self.consistency(batch, cond, rng)
        return Out(loss, {"tangent": size})
