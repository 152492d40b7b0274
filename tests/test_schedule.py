"""The maths of schedules: round trips, log SNR, and TrigFlow as a lossless view of a flow model."""

from math import pi

import pytest
import torch
from diffusers import DDPMScheduler

from distill.losses import snr_weight
from models.denoiser import Denoiser, TrigFlow
from models.families.toy2d import Mixture, labels
from models.schedule import (
    VP,
    Flow,
    Trig,
    add_noise,
    ddim,
    eps_from_x0,
    flow_input,
    flow_time,
    from_x0,
    log_snr,
    to_x0,
    trig_from_flow,
    trig_time,
)

SCHEDULES = {"flow": Flow(), "trig": Trig(), "vp": VP()}
PAIRS = [(k, s) for s in SCHEDULES for k in ("epsilon", "sample")]
PAIRS += [("flow", "flow"), ("trigflow", "trig"), ("v_prediction", "trig"), ("v_prediction", "vp")]


def double(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Gaussian(Denoiser):
    """E[x0 | x_t] and velocity for data N(m, s^2 I), in closed form."""

    prediction, schedule = "flow", Flow()

    def __init__(self, mean: float, std: float):
        super().__init__(torch.nn.Identity())
        self.mean, self.std = mean, std

    def predict(self, x_t, t, cond):
        t = t[:, None]
        var = (1 - t) ** 2 * self.std**2 + t**2
        gain = ((1 - t) * self.std**2 - t) / var  # d E[eps - x0 | x_t] / d x_t, negated
        return -self.mean - gain * (x_t - (1 - t) * self.mean)


@pytest.mark.parametrize("kind, schedule", PAIRS)
def test_predictions_and_x0_convert_into_each_other(kind, schedule):
    sch, t = SCHEDULES[schedule], torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    x0, x_t = double(7, 3), double(7, 3, seed=1)
    assert torch.allclose(to_x0(kind, sch, x_t, from_x0(kind, sch, x_t, x0, t), t), x0, atol=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_is_found_again(name):
    sch, t = SCHEDULES[name], torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    x0, eps = double(3, 4), double(3, 4, seed=1)
    x_t = add_noise(sch, x0, eps, t)
    assert torch.allclose(eps_from_x0(sch, x_t, x0, t), eps)
    s = torch.tensor([0.05, 0.2, 0.9], dtype=torch.float64)
    assert torch.allclose(ddim(sch, x_t, x0, t, s), add_noise(sch, x0, eps, s))


@pytest.mark.parametrize("name", SCHEDULES)
def test_signal_falls_and_noise_rises(name):
    sch, t = SCHEDULES[name], torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    assert (log_snr(sch, t).diff() < 0).all()
    assert sch.alpha(torch.zeros(1)).item() == 1 and sch.sigma(torch.zeros(1)).item() == 0
    at = 0.3
    expected = 2 * (sch.alpha(torch.tensor([at])).log() - sch.sigma(torch.tensor([at])).log()).item()
    assert log_snr(sch, torch.tensor([at])).item() == pytest.approx(expected, abs=1e-5)
    noise, late, data = log_snr(sch, torch.tensor([1.000003, 0.9, 0.0], dtype=torch.float64)).tolist()
    assert -30 < noise < late < data < 30


def test_vp_is_stable_diffusions():
    table = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod.double()
    t = (torch.arange(1000, dtype=torch.float64) + 1) / 1000
    assert torch.allclose(VP().alpha_bar(t), table, atol=1e-6)


def test_trig_and_flow_times():
    """t = 0, pi/4, pi/2 are s = 0, 1/2, 1; equal signal to noise everywhere."""
    t = torch.tensor([0, 0.5, 1], dtype=torch.float64)
    assert torch.allclose(flow_time(t), t)
    t = torch.linspace(0.001, 0.999, 99, dtype=torch.float64)
    assert torch.allclose(trig_time(flow_time(t)), t)
    assert torch.allclose(log_snr(Trig(), t), log_snr(Flow(), flow_time(t)))


def test_trigflow_view_of_a_flow_model_is_lossless():
    """SANA-Sprint, Sec. 3.1, on a Gaussian whose velocity is known: equal x0, and F is d x_t / d theta of the flow."""
    flow = Gaussian(0.3, 0.7)
    trig = TrigFlow(flow)
    t = torch.linspace(0.02, 0.98, 25, dtype=torch.float64)
    x = double(25, 4)
    s, cond = flow_time(t), labels(torch.zeros(25, dtype=torch.long), 2)
    x_flow = flow_input(x, s)
    assert torch.allclose(trig(x, t, cond), flow(x_flow, s, cond), atol=1e-12)
    cos, sin = (t * pi / 2).cos()[:, None], (t * pi / 2).sin()[:, None]
    var = cos**2 * 0.7**2 + sin**2
    x0 = 0.3 + cos * 0.7**2 / var * (x - cos * 0.3)
    eps = sin / var * (x - cos * 0.3)
    assert torch.allclose(trig.predict(x, t, cond), cos * eps - sin * x0, atol=1e-12)
    assert torch.allclose(trig_from_flow(x_flow, flow.predict(x_flow, s, cond), s), trig.predict(x, t, cond))


def test_trigflow_carries_noise_where_flow_does():
    """A Gaussian is carried by an affine map: DDIM in TrigFlow's time ends at mean + std * noise."""
    trig, noise = TrigFlow(Gaussian(0.3, 0.7)), double(5, 4)
    cond, x = labels(torch.zeros(5, dtype=torch.long), 2), noise
    times = torch.linspace(1, 0, 401, dtype=torch.float64)
    for t, s in zip(times[:-1], times[1:], strict=True):
        x = ddim(Trig(), x, trig(x, t.expand(5), cond), t.expand(5), s.expand(5))
    assert torch.allclose(x, 0.3 + 0.7 * noise, atol=0.01)


def test_one_mixture_in_three_schedules():
    """Posteriors depend on the signal to noise alone, once x_t is scaled."""
    t = torch.tensor([0.25, 0.6], dtype=torch.float64)
    cond = labels(torch.tensor([1, -1]), 8)
    x = double(2, 2)
    there = Mixture.ring(schedule=Trig())(x, t, cond)
    s = flow_time(t)
    assert torch.allclose(Mixture.ring()(flow_input(x, s), s, cond), there, atol=1e-6)


def test_the_weight_of_a_loss_in_eps_is_that_of_x0_between_its_bounds():
    """|eps error|^2 = SNR |x0 error|^2, so the weight times SNR is what an x0's error weighs."""
    t = torch.linspace(0.02, 1, 50, dtype=torch.float64)
    snr = log_snr(VP(), t).exp()
    weighs = snr_weight(VP(), t, 0.25, 5.0) * snr
    assert weighs.min() == pytest.approx(0.25) and weighs.max() == pytest.approx(5.0)
    between = (snr > 0.25) & (snr < 5)
    assert between.sum() > 10 and torch.allclose(weighs[between], snr[between])
    assert torch.equal(snr_weight(Flow(), t), torch.ones_like(t)), "velocities weigh as they are"
