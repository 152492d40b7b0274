"""What the trainings of sliders share: where a slider stands at a strength, its strips, and how it is served."""

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from distill import data, students
from distill.method import Batch, Rows, World, needed
from distill.serve import Trained, network
from distill.students import Ranked
from models.adapt import add_lora, scaled
from models.denoiser import Cond, Denoiser
from models.guidance import Turn
from models.samplers import sample
from models.stepping import DdimSteps

FEW = 256  # toys of a data set: latents have the shape of theirs, and nothing else of them is used
COLUMNS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # strengths of a strip


class Walks(Protocol):
    """Settings of a method whose slider is on the way from noise while it learns."""

    @property
    def guidance(self) -> float: ...

    @property
    def solver(self) -> int: ...


def sources(names: str, cfg: Walks, skip_bad: bool, side: int) -> list[data.Source]:
    """The data set with few toys, as a slider does not learn from them."""
    return data.sources(names, toys=FEW, skip_bad=skip_bad, side=side)


def student(cfg: Ranked, base: Denoiser | None) -> Denoiser:
    return add_lora(students.given(base), cfg.rank)


def way(w: World, cfg: Walks, noise: Tensor, cond: Cond, s: float, i: int) -> tuple[Tensor, Tensor]:
    """x_t and t [B] after i of the solver's steps, with the adapter at strength s."""
    steps = DdimSteps(w.student.schedule, cfg.solver)
    return _walked(w, cfg, steps, noise, cond, s, i), torch.full((len(noise),), steps.times[i], device=noise.device)


def ends(w: World, cfg: Walks, noise: Tensor, cond: Cond, s: float) -> Tensor:
    """x0 [B, ...] at the end of the way."""
    return _walked(w, cfg, DdimSteps(w.student.schedule, cfg.solver), noise, cond, s, None)


@torch.no_grad()
def _walked(w: World, cfg: Walks, steps: DdimSteps, noise: Tensor, cond: Cond, s: float, end: int | None) -> Tensor:
    turns = [Turn(w.student, cfg.guidance)] * len(steps.times)
    with scaled(w.student, s):
        return sample(steps, noise, turns, cond, w.null_like(cond), end=end)


def strips(w: World, cfg: Walks, prompts: Cond, batch: Batch) -> Tensor:
    """The same noise at strengths from -1 to 1, a row for each of some prompts."""
    x0, _ = batch.latents
    rows = min(4, len(prompts), len(x0))
    cond, noise = prompts.map(lambda v: v[:rows]), Rows(0, 0, rows, device=x0.device).randn_like(x0[:rows])
    columns = torch.stack([ends(w, cfg, noise, cond, s) for s in COLUMNS], 1)
    with torch.no_grad():
        return needed(w.show)(columns.flatten(0, 1))


def served(made: Trained, home: Path, low: str, high: str) -> dict:
    """Write the LoRA. Its manifest has the words for the slider's ends."""
    facts = network(made, home)
    return facts | {"kind": "slider", "scheduler": None, "lora": facts["lora"] | {"low": low, "high": high}}
