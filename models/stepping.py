"""Steppers move x_t to the next time, given x0: diffusers' schedulers on unit-variance samples, and two of our own.

A stepper belongs to one run. `times` has one time for each step, in [0, 1] with noise at 1.
"""

import copy
import inspect
import logging
from collections.abc import Callable, Sequence
from math import pi
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from models.schedule import VP, Flow, Schedule, Trig, add_noise, ddim, from_x0

# The schedulers warn of every table of timesteps that isn't their own. Ours are those of the training.
logging.getLogger("diffusers.schedulers").setLevel(logging.ERROR)


class Stepper(Protocol):
    schedule: Schedule
    times: list[float]

    @property
    def past(self) -> tuple[Tensor, ...]:
        """The solver's memory of earlier steps, [B, ...] each."""
        ...

    def step(self, i: int, x_t: Tensor, x0: Tensor) -> Tensor: ...


def at(time: float, x: Tensor) -> Tensor:
    """One time for every sample, [B]."""
    return torch.full((len(x),), time, device=x.device)


class DdimSteps:
    """Plain DDIM from noise to data, at the given times, or at a given number of times, uniform in t."""

    past: tuple[Tensor, ...] = ()

    def __init__(self, schedule: Schedule, steps: int | Sequence[float]):
        self.schedule = schedule
        self.times = torch.linspace(1, 0, steps + 1).tolist()[:-1] if isinstance(steps, int) else list(steps)
        self.ends = [*self.times, 0.0]

    def step(self, i: int, x_t: Tensor, x0: Tensor) -> Tensor:
        return ddim(self.schedule, x_t, x0, at(self.ends[i], x_t), at(self.ends[i + 1], x_t))


class ConsistencySteps:
    """Steps to x0, and back to the next time with fresh noise (Song et al. 2023, Alg. 1). `draw` gives noise in the
    shape of its argument."""

    past: tuple[Tensor, ...] = ()

    def __init__(self, schedule: Schedule, times: Sequence[float], draw: Callable[[Tensor], Tensor]):
        self.schedule, self.times, self.draw = schedule, list(times), draw

    def step(self, i: int, x_t: Tensor, x0: Tensor) -> Tensor:
        if i + 1 == len(self.times):
            return x0
        return add_noise(self.schedule, x0, self.draw(x0), at(self.times[i + 1], x0))


class SchedulerSteps:
    """A scheduler of diffusers, copied for this run. `generators`: one for each picture, for fresh noise."""

    schedule: Schedule
    times: list[float]
    draws = False  # whether each step takes fresh noise
    initial = 1.0  # standard deviation of the first x_t

    def __init__(
        self,
        scheduler: Any,
        steps: int,
        timesteps: Sequence[float] | None,
        device: torch.device,
        eta: float,
        generators: Sequence[Generator],
    ):
        self.scheduler, self.device, self.eta, self.generators = copy.copy(scheduler), device, eta, list(generators)
        self.plan(steps, timesteps)
        self._from(0)

    def plan(self, steps: int, timesteps: Sequence[float] | None) -> None:
        """Set the scheduler to these timesteps, or to its own where None, and set `times`."""
        raise TypeError(f"{type(self).__name__} must say how its scheduler is set")

    def step(self, i: int, x_t: Tensor, x0: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} must say how its scheduler steps")

    @property
    def past(self) -> tuple[Tensor, ...]:
        return ()

    def resume(self, i: int, x_t: Tensor, past: Sequence[Tensor]) -> None:
        """Start at step i from x_t, with the solver's memory `past`, and advance the generators to that step."""
        self._from(i)
        for generator in self.generators * (i if self.draws else 0):
            torch.randn((1, *x_t.shape[1:]), generator=generator)

    def _from(self, i: int) -> None:
        if hasattr(self.scheduler, "set_begin_index"):  # DDIM needs none
            self.scheduler.set_begin_index(i)


class ScmSteps(SchedulerSteps):
    """SCMScheduler steps to x0 and back with fresh noise, on samples of standard deviation `sigma_data`."""

    schedule: Schedule = Trig()
    draws = True

    def plan(self, steps: int, timesteps: Sequence[float] | None) -> None:
        if timesteps is None:
            self.scheduler.set_timesteps(steps, device=self.device, intermediate_timesteps=None)
        else:
            table = [*timesteps, 0.0]
            self.scheduler.set_timesteps(
                steps, timesteps=table, device=self.device, max_timesteps=None, intermediate_timesteps=None
            )
        self.sigma = self.scheduler.config.sigma_data
        self.angles = self.scheduler.timesteps[:-1]
        self.times = (self.angles * (2 / pi)).tolist()

    def step(self, i: int, x_t: Tensor, x0: Tensor) -> Tensor:
        out = from_x0("trigflow", self.schedule, x_t, x0, at(self.times[i], x_t)) * self.sigma
        x, angle = x_t * self.sigma, self.angles[i]
        return self.scheduler.step(out, angle, x, generator=self.generators, return_dict=False)[0] / self.sigma


class FlowSteps(SchedulerSteps):
    """The schedulers of flow matching: DPMSolverMultistepScheduler with flow sigmas,
    FlowMatchEulerDiscreteScheduler."""

    schedule: Schedule = Flow()

    def plan(self, steps: int, timesteps: Sequence[float] | None) -> None:
        if timesteps is None:
            self.scheduler.set_timesteps(steps, device=self.device)
        else:
            self.scheduler.set_timesteps(timesteps=list(timesteps), device=self.device)
        # Computed as in the pipeline. The solver's own sigma differs slightly, as its timesteps are rounded.
        self.times = (self.scheduler.timesteps * (1 / self.scheduler.config.num_train_timesteps)).tolist()

    @property
    def past(self) -> tuple[Tensor, ...]:
        return tuple(x for x in getattr(self.scheduler, "model_outputs", ()) if x is not None)

    def resume(self, i: int, x_t: Tensor, past: Sequence[Tensor]) -> None:
        super().resume(i, x_t, past)
        if past:
            self.scheduler.model_outputs[-len(past) :] = past
            self.scheduler.lower_order_nums = len(past)

    def step(self, i: int, x_t: Tensor, x0: Tensor) -> Tensor:
        v = (x_t - x0) / self.times[i]
        return self.scheduler.step(v, self.scheduler.timesteps[i], x_t, return_dict=False)[0]


class VpSteps(SchedulerSteps):
    """The schedulers of Stable Diffusion whose samples are x_t: DDIMScheduler, LCMScheduler, TCDScheduler.

    `eta`: the share of fresh noise in each step of DDIM or TCD; LCM's noise is all fresh.
    """

    def plan(self, steps: int, timesteps: Sequence[float] | None) -> None:
        config = self.scheduler.config
        if config.beta_schedule != "scaled_linear":
            raise ValueError(f"beta_schedule {config.beta_schedule!r} of the scheduler; valid: scaled_linear")
        self.schedule = VP(config.beta_start, config.beta_end, config.num_train_timesteps)
        if timesteps is None:
            self.scheduler.set_timesteps(steps, device=self.device)
        else:
            self._table([int(t) for t in timesteps])
        self.times = ((self.scheduler.timesteps.double() + 1) / config.num_train_timesteps).tolist()
        takes = inspect.signature(self.scheduler.step).parameters
        self.extra = {"eta": self.eta} if "eta" in takes else {}
        self.draws = self.eta > 0 if "eta" in takes else type(self.scheduler).__name__ == "LCMScheduler"

    def _table(self, timesteps: list[int]) -> None:
        """Set the scheduler to a table of timesteps. DDIM takes only its own; another table raises ValueError."""
        if "timesteps" in inspect.signature(self.scheduler.set_timesteps).parameters:
            self.scheduler.set_timesteps(timesteps=timesteps, device=self.device)
            return
        self.scheduler.set_timesteps(len(timesteps), device=self.device)
        own = self.scheduler.timesteps.tolist()
        if own != timesteps:
            raise ValueError(f"{type(self.scheduler).__name__} takes its own timesteps, {own}, not {timesteps}")

    def eps(self, i: int, x_t: Tensor, x0: Tensor) -> Tensor:
        return from_x0("epsilon", self.schedule, x_t, x0, at(self.times[i], x_t))

    def step(self, i: int, x_t: Tensor, x0: Tensor) -> Tensor:
        own = self.extra | ({"generator": self.generators} if self.draws else {})
        return self.scheduler.step(self.eps(i, x_t, x0), self.scheduler.timesteps[i], x_t, return_dict=False, **own)[0]


class EulerSteps(VpSteps):
    """EulerDiscreteScheduler, whose sample is x0 + sigma eps: x_t times sqrt(sigma^2 + 1)."""

    def plan(self, steps: int, timesteps: Sequence[float] | None) -> None:
        super().plan(steps, timesteps)
        self.scheduler.is_scale_input_called = True  # x_t is scaled already
        self.scales = (self.scheduler.sigmas.double() ** 2 + 1).sqrt().tolist()
        self.initial = float(self.scheduler.init_noise_sigma) / self.scales[0]

    def step(self, i: int, x_t: Tensor, x0: Tensor) -> Tensor:
        eps, sample = self.eps(i, x_t, x0), x_t * self.scales[i]
        moved = self.scheduler.step(eps, self.scheduler.timesteps[i], sample, return_dict=False)[0]
        return moved / self.scales[i + 1]


STEPPERS: dict[str, type[SchedulerSteps]] = {
    "DDIMScheduler": VpSteps,
    "LCMScheduler": VpSteps,
    "TCDScheduler": VpSteps,
    "EulerDiscreteScheduler": EulerSteps,
    "SCMScheduler": ScmSteps,
    "DPMSolverMultistepScheduler": FlowSteps,
    "FlowMatchEulerDiscreteScheduler": FlowSteps,
}


def stepper(
    scheduler: Any,
    steps: int,
    timesteps: Sequence[float] | None,
    device: torch.device,
    eta: float = 0.0,
    generators: Sequence[Generator] = (),
) -> SchedulerSteps:
    """The stepper of a scheduler's class. Raises ValueError for a class without one.

    `timesteps`: the manifest's table for this step count, in the scheduler's unit; None for the scheduler's own. `eta`:
    the share of fresh noise in each step of DDIM or TCD.
    """
    name = type(scheduler).__name__
    if name not in STEPPERS:
        raise ValueError(f"no stepping for {name}; valid: {', '.join(STEPPERS)}")
    return STEPPERS[name](scheduler, steps, timesteps, device, eta, generators)
