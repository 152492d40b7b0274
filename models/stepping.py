"""diffusers' schedulers, driven by x0 on unit-variance samples: what a step of the loop does to x_t.

A stepper belongs to one run. `times` are in [0, 1], noise at 1, one for each step.
"""

import copy
import inspect
from collections.abc import Sequence
from math import pi
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from models.schedule import VP, Flow, Schedule, Trig, from_x0


class Stepper(Protocol):
    schedule: Schedule
    times: list[float]
    draws: bool  # whether each step takes fresh noise from the pictures' generators
    initial: float  # deviation of the first x_t

    def step(self, i: int, x_t: Tensor, x0: Tensor, generators: Sequence[Generator]) -> Tensor: ...

    def resume(self, i: int, x0: Tensor | None) -> None:
        """Start at step i; x0 is what step i - 1 predicted, for schedulers that look back."""
        ...


class ScmSteps:
    """SCMScheduler: to x0 and back with fresh noise. It works on samples of deviation `sigma_data`."""

    schedule, draws, initial = Trig(), True, 1.0

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

    schedule, draws, initial = Flow(), False, 1.0

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


class VpSteps:
    """Schedulers of Stable Diffusion whose samples are x_t: DDIMScheduler, LCMScheduler, TCDScheduler.

    eta: how much of each step of DDIM or TCD is fresh noise; LCM's steps are all fresh noise.
    """

    initial = 1.0

    def __init__(self, scheduler: Any, steps: int, timesteps: Sequence[float] | None, device: torch.device, eta: float):
        self.scheduler, self.device = copy.copy(scheduler), device
        config = scheduler.config
        if config.beta_schedule != "scaled_linear":
            raise ValueError(f"beta_schedule {config.beta_schedule!r} of the scheduler; valid: scaled_linear")
        self.schedule = VP(config.beta_start, config.beta_end, config.num_train_timesteps)
        if timesteps is None:
            self.scheduler.set_timesteps(steps, device=device)
        else:
            self._table([int(t) for t in timesteps])
        self.times = ((self.scheduler.timesteps.double() + 1) / config.num_train_timesteps).tolist()
        takes = inspect.signature(self.scheduler.step).parameters
        self.extra = {"eta": eta} if "eta" in takes else {}
        self.draws = eta > 0 if "eta" in takes else type(self.scheduler).__name__ == "LCMScheduler"
        self.resume(0, None)

    def _table(self, timesteps: list[int]) -> None:
        """DDIM takes none but its own."""
        if "timesteps" in inspect.signature(self.scheduler.set_timesteps).parameters:
            self.scheduler.set_timesteps(timesteps=timesteps, device=self.device)
            return
        self.scheduler.set_timesteps(len(timesteps), device=self.device)
        own = self.scheduler.timesteps.tolist()
        if own != timesteps:
            raise ValueError(f"{type(self.scheduler).__name__} takes its own timesteps, {own}, not {timesteps}")

    def resume(self, i: int, x0: Tensor | None) -> None:
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(i)

    def eps(self, i: int, x_t: Tensor, x0: Tensor) -> Tensor:
        return from_x0("epsilon", self.schedule, x_t, x0, torch.full((len(x_t),), self.times[i], device=x_t.device))

    def step(self, i: int, x_t: Tensor, x0: Tensor, generators: Sequence[Generator]) -> Tensor:
        own = self.extra | ({"generator": list(generators)} if self.draws else {})
        return self.scheduler.step(self.eps(i, x_t, x0), self.scheduler.timesteps[i], x_t, return_dict=False, **own)[0]


class EulerSteps(VpSteps):
    """EulerDiscreteScheduler: its sample is x0 + sigma eps, which is x_t times sqrt(sigma^2 + 1)."""

    def __init__(self, scheduler: Any, steps: int, timesteps: Sequence[float] | None, device: torch.device, eta: float):
        super().__init__(scheduler, steps, timesteps, device, eta)
        self.scheduler.is_scale_input_called = True  # x_t is what scaling would give
        self.scales = (self.scheduler.sigmas.double() ** 2 + 1).sqrt().tolist()
        self.initial = float(self.scheduler.init_noise_sigma) / self.scales[0]

    def step(self, i: int, x_t: Tensor, x0: Tensor, generators: Sequence[Generator]) -> Tensor:
        eps, sample = self.eps(i, x_t, x0), x_t * self.scales[i]
        moved = self.scheduler.step(eps, self.scheduler.timesteps[i], sample, return_dict=False)[0]
        return moved / self.scales[i + 1]


STEPPERS = {
    "DDIMScheduler": VpSteps,
    "LCMScheduler": VpSteps,
    "TCDScheduler": VpSteps,
    "EulerDiscreteScheduler": EulerSteps,
    "SCMScheduler": ScmSteps,
    "DPMSolverMultistepScheduler": FlowSteps,
    "FlowMatchEulerDiscreteScheduler": FlowSteps,
}


def stepper(
    scheduler: Any, steps: int, timesteps: Sequence[float] | None, device: torch.device, eta: float = 0.0
) -> Stepper:
    """timesteps: the manifest's table for this step count, in the scheduler's unit, or None for the scheduler's own."""
    name = type(scheduler).__name__
    if name not in STEPPERS:
        raise ValueError(f"no stepping for {name}; valid: {', '.join(STEPPERS)}")
    own = {"eta": eta} if issubclass(STEPPERS[name], VpSteps) else {}
    return STEPPERS[name](scheduler, steps, timesteps, device, **own)
