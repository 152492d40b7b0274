"""diffusers' schedulers, driven by x0 on unit-variance samples: what a step of the loop does to x_t.

A stepper belongs to one run. `times` are in [0, 1], noise at 1, one for each step.
"""

import copy
from collections.abc import Sequence
from math import pi
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from models.schedule import Flow, Schedule, Trig, from_x0


class Stepper(Protocol):
    schedule: Schedule
    times: list[float]
    draws: bool  # whether each step takes fresh noise from the pictures' generators

    def step(self, i: int, x_t: Tensor, x0: Tensor, generators: Sequence[Generator]) -> Tensor: ...

    def resume(self, i: int, x0: Tensor | None) -> None:
        """Start at step i; x0 is what step i - 1 predicted, for schedulers that look back."""
        ...


class ScmSteps:
    """SCMScheduler: to x0 and back with fresh noise. It works on samples of deviation `sigma_data`."""

    schedule, draws = Trig(), True

    def __init__(self, scheduler: Any, steps: int, timesteps: Sequence[float] | None, device: torch.device):
        self.scheduler = copy.copy(scheduler)
        if timesteps is None:
            self.scheduler.set_timesteps(steps, device=device, intermediate_timesteps=None)
        else:
            table = [*timesteps, 0.0]
            self.scheduler.set_timesteps(
                steps, timesteps=table, device=device, max_timesteps=None, intermediate_timesteps=None
            )
        self.scheduler.set_begin_index(0)
        self.sigma = self.scheduler.config.sigma_data
        self.angles = self.scheduler.timesteps[:-1]
        self.times = (self.angles * (2 / pi)).tolist()

    def resume(self, i: int, x0: Tensor | None) -> None:
        self.scheduler.set_begin_index(i)

    def step(self, i: int, x_t: Tensor, x0: Tensor, generators: Sequence[Generator]) -> Tensor:
        t = torch.full((len(x_t),), self.times[i], device=x_t.device)
        out = from_x0("trigflow", self.schedule, x_t, x0, t) * self.sigma
        x, at = x_t * self.sigma, self.angles[i]
        return self.scheduler.step(out, at, x, generator=list(generators), return_dict=False)[0] / self.sigma


class FlowSteps:
    """Schedulers of flow matching: DPMSolverMultistepScheduler with flow sigmas, FlowMatchEulerDiscreteScheduler."""

    schedule, draws = Flow(), False

    def __init__(self, scheduler: Any, steps: int, timesteps: Sequence[float] | None, device: torch.device):
        self.scheduler = copy.copy(scheduler)
        if timesteps is None:
            self.scheduler.set_timesteps(steps, device=device)
        else:
            self.scheduler.set_timesteps(timesteps=list(timesteps), device=device)
        self.scheduler.set_begin_index(0)
        # As the pipeline computes it; the solver's own sigma differs from this by what rounding the timestep took.
        self.times = (self.scheduler.timesteps * (1 / self.scheduler.config.num_train_timesteps)).tolist()

    def resume(self, i: int, x0: Tensor | None) -> None:
        self.scheduler.set_begin_index(i)
        if x0 is not None and hasattr(self.scheduler, "model_outputs"):
            self.scheduler.model_outputs[-1] = x0
            self.scheduler.lower_order_nums = 1

    def step(self, i: int, x_t: Tensor, x0: Tensor, generators: Sequence[Generator]) -> Tensor:
        v = (x_t - x0) / self.times[i]
        return self.scheduler.step(v, self.scheduler.timesteps[i], x_t, return_dict=False)[0]


STEPPERS = {
    "SCMScheduler": ScmSteps,
    "DPMSolverMultistepScheduler": FlowSteps,
    "FlowMatchEulerDiscreteScheduler": FlowSteps,
}


def stepper(scheduler: Any, steps: int, timesteps: Sequence[float] | None, device: torch.device) -> Stepper:
    """timesteps: the manifest's table for this step count, in the scheduler's unit, or None for the scheduler's own."""
    name = type(scheduler).__name__
    if name not in STEPPERS:
        raise ValueError(f"no stepping for {name}; valid: {', '.join(STEPPERS)}")
    return STEPPERS[name](scheduler, steps, timesteps, device)
