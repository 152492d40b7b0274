"""Noise schedules and the conversions between what networks predict. Pure functions of tensors.

    x_t = alpha(t) x0 + sigma(t) eps,    t in [0, 1], data at 0, noise at 1

All other code (samplers, distillers, the visualiser, VSD) works in x0; predictions are converted once, here.
Latents have unit standard deviation as a whole, so SANA-Sprint's sigma_data drops out (docs/notation.md).
"""

from dataclasses import dataclass
from math import cos, log, pi, tan
from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["epsilon", "v_prediction", "flow", "trigflow", "sample"]


def like(t: Tensor, x: Tensor) -> Tensor:
    """Per-sample times [B], reshaped so that they broadcast against x [B, ...]."""
    return t.reshape(-1, *[1] * (x.ndim - 1))


@dataclass(frozen=True)
class Flow:
    """Rectified flow: straight lines between data and noise (Liu et al. 2022)."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t


@dataclass(frozen=True)
class Trig:
    """TrigFlow (Lu & Song 2024, Eq. 4): a quarter of a circle; the paper's angle is t * pi / 2."""

    def alpha(self, t: Tensor) -> Tensor:
        return (t * pi / 2).cos()

    def sigma(self, t: Tensor) -> Tensor:
        return (t * pi / 2).sin()


@dataclass(frozen=True)
class VP:
    """Variance preserving, the discrete `scaled_linear` betas of Stable Diffusion.

    t in [0, 1] is (timestep + 1) / num_train_timesteps, interpolated in log alpha_bar between the table's entries;
    t = 0 is clean data.
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    num_train_timesteps: int = 1000

    def alpha_bar(self, t: Tensor) -> Tensor:
        n = self.num_train_timesteps
        betas = torch.linspace(self.beta_start**0.5, self.beta_end**0.5, n, dtype=torch.float64, device=t.device) ** 2
        log = torch.cat([betas.new_zeros(1), (1 - betas).log().cumsum(0)])  # [n + 1], entry 0 is clean data
        at = (t.double() * n).clamp(0, n)
        low = at.floor().long().clamp_max(n - 1)
        return torch.lerp(log[low], log[low + 1], at - low).exp().to(t.dtype)

    def alpha(self, t: Tensor) -> Tensor:
        return self.alpha_bar(t).sqrt()

    def sigma(self, t: Tensor) -> Tensor:
        return (1 - self.alpha_bar(t)).sqrt()


Schedule = Flow | Trig | VP


def add_noise(sch: Schedule, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    return like(sch.alpha(t), x0) * x0 + like(sch.sigma(t), x0) * eps


def log_snr(sch: Schedule, t: Tensor) -> Tensor:
    """log(alpha^2 / sigma^2), [B], kept finite: about -27.6 at pure noise."""
    return 2 * (sch.alpha(t).clamp_min(1e-6).log() - sch.sigma(t).clamp_min(1e-6).log())


def angle(sch: Schedule, t: float) -> float:
    """arctan(sigma / alpha): 0 at data, pi / 2 at pure noise. What TrigFlow calls time, for every schedule."""
    time = torch.tensor([t], dtype=torch.float64)
    return torch.atan2(sch.sigma(time), sch.alpha(time)).item()


def time_at(sch: Schedule, theta: float) -> float:
    """The inverse of `angle`."""
    if isinstance(sch, Trig):
        return theta * 2 / pi
    if isinstance(sch, Flow):
        return tan(theta) / (1 + tan(theta)) if theta < pi / 2 else 1.0
    table = torch.linspace(0, 1, sch.num_train_timesteps + 1, dtype=torch.float64)
    logs, wanted = sch.alpha_bar(table).log(), 2 * log(max(cos(theta), 1e-12))  # falling; linear between its entries
    right = int((logs > wanted).sum().clamp(1, sch.num_train_timesteps))
    a, b = logs[right - 1].item(), logs[right].item()
    return (right - 1 + min(1.0, max(0.0, (a - wanted) / (a - b)))) / sch.num_train_timesteps


def eps_from_x0(sch: Schedule, x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    return (x_t - like(sch.alpha(t), x0) * x0) / like(sch.sigma(t), x0)


def ddim(sch: Schedule, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """x at time s, from x_t along the line through the predicted x0 (Song et al. 2021, Eq. 12 without noise)."""
    return add_noise(sch, x0, eps_from_x0(sch, x_t, x0, t), s)


def to_x0(kind: Prediction, sch: Schedule, x_t: Tensor, out: Tensor, t: Tensor) -> Tensor:
    """A network's prediction `out`, converted to x0."""
    a, s = like(sch.alpha(t), x_t), like(sch.sigma(t), x_t)
    match kind:
        case "sample":
            return out
        case "epsilon":
            return (x_t - s * out) / a
        case "v_prediction" | "trigflow":  # v = alpha eps - sigma x0, and TrigFlow's F is the same
            return a * x_t - s * out
        case "flow":  # v = eps - x0 on alpha + sigma = 1
            return x_t - s * out
    raise ValueError(f"prediction {kind!r}; valid: epsilon, v_prediction, flow, trigflow, sample")


def from_x0(kind: Prediction, sch: Schedule, x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """The inverse of `to_x0`: the prediction of this kind for an x0. Undefined where sigma(t) = 0."""
    eps = eps_from_x0(sch, x_t, x0, t)
    a, s = like(sch.alpha(t), x_t), like(sch.sigma(t), x_t)
    match kind:
        case "sample":
            return x0
        case "epsilon":
            return eps
        case "v_prediction" | "trigflow":
            return a * eps - s * x0
        case "flow":
            return eps - x0
    raise ValueError(f"prediction {kind!r}; valid: epsilon, v_prediction, flow, trigflow, sample")


def flow_time(t: Tensor) -> Tensor:
    """The flow time s with the signal to noise of TrigFlow time t (SANA-Sprint, Sec. 3.1): s = sin / (sin + cos)."""
    sin, cos = (t * pi / 2).sin(), (t * pi / 2).cos()
    return sin / (sin + cos)


def trig_time(s: Tensor) -> Tensor:
    """The inverse of `flow_time`: t = arctan(s / (1 - s)), in quarter turns."""
    return torch.atan2(s, 1 - s) * (2 / pi)


def flow_input(x_t: Tensor, s: Tensor) -> Tensor:
    """A TrigFlow sample, scaled as the flow network expects it at time s."""
    s = like(s, x_t)
    return x_t * (s**2 + (1 - s) ** 2).sqrt()


def trig_from_flow(x_flow: Tensor, v: Tensor, s: Tensor) -> Tensor:
    """The flow network's velocity as TrigFlow's F, exactly (SANA-Sprint, Eq. 6), for unit-variance data."""
    s = like(s, x_flow)
    scale = s**2 + (1 - s) ** 2
    return ((1 - 2 * s) * x_flow + scale * v) / scale.sqrt()
