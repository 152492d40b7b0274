"""The one walk from noise to data: x_t -> the turn of this step -> x0 -> the next x_t.

Pictures (`models.generate`), benchmarks, previews and the simulations of distillers all use it. The stepper moves x_t
(`models/stepping.py`); the turn has the network and its guidance (`models/guidance.py`).
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
    """One step of a batch. Its tensors stay on the model's device."""

    i: int
    t: float  # in [0, 1], noise at 1
    schedule: Schedule  # of x_t: the run's own
    x_t: Tensor  # [B, C, h, w], of unit variance
    x0: Tensor  # the network's prediction of the pictures, [B, C, h, w]
    x_s: Tensor  # the x_t of the next step, or the result after the last
    turn: Turn
    past: tuple[Tensor, ...] = ()  # the solver's memory of the steps before this one
    first: int = 0  # index in the request of the batch's first picture

    @property
    def painter(self) -> str:
        """The id of the model that denoised it."""
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
    """Yields steps begin … end - 1 (to the last, if None) as they are done. `turns`: one for each time of the
    stepper."""
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
    """The result of the walk, as x [B, ...]."""
    for step in walk(stepper, x, turns, cond, null, begin, end):
        x = step.x_s
    return x
