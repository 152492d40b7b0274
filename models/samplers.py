"""The one walk from noise to data: x_t -> whose turn it is -> x0 -> the next x_t.

Pictures (`models.generate`), figures (`benchmarks`), previews and what distillers simulate all walk here. How x_t moves
is the stepper's (`models/stepping.py`); which network answers and how it is guided, the turn's (`models/guidance.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.denoiser import Cond
from models.guidance import Turn
from models.schedule import Schedule, log_snr
from models.stepping import Stepper


@dataclass(frozen=True)
class Step:
    """One step of a batch. Tensors stay on the model's device."""

    i: int
    t: float  # in [0, 1], noise at 1
    schedule: Schedule  # of x_t: the run's own
    x_t: Tensor  # [B, C, h, w], of unit variance
    x0: Tensor  # what the network thinks the pictures will be, [B, C, h, w]
    x_s: Tensor  # the next step's x_t, or what the walk ends with
    turn: Turn
    past: tuple[Tensor, ...] = ()  # what the solver remembers of the steps before this one
    first: int = 0  # row 0 is this picture of the request

    @property
    def painter(self) -> str:
        """Id of the model that denoised it."""
        return self.turn.painter

    @property
    def log_snr(self) -> float:
        """log(alpha^2 / sigma^2); about -27.6 at pure noise."""
        return log_snr(self.schedule, torch.tensor([self.t], dtype=torch.float64)).item()


def walk(
    stepper: Stepper,
    x: Tensor,
    turns: Sequence[Turn],
    cond: Cond,
    null: Cond | None = None,
    begin: int = 0,
    end: int | None = None,
) -> Iterator[Step]:
    """Steps begin … end - 1 (all, if None), each once it is done. `turns`: one for each time of the stepper."""
    for i in range(begin, len(stepper.times) if end is None else end):
        t, turn, past = stepper.times[i], turns[i], stepper.past
        x0 = turn.x0(stepper.schedule, x, torch.full((len(x),), t, device=x.device), cond, null)
        x_t, x = x, stepper.step(i, x, x0)
        yield Step(i, t, stepper.schedule, x_t, x0, x, turn, past)


def sample(
    stepper: Stepper,
    x: Tensor,
    turns: Sequence[Turn],
    cond: Cond,
    null: Cond | None = None,
    begin: int = 0,
    end: int | None = None,
) -> Tensor:
    """What the walk ends with."""
    for step in walk(stepper, x, turns, cond, null, begin, end):
        x = step.x_s
    return x
