"""The mixture's closed form against brute force, in every schedule, and the net's guidance input."""

import pytest
import torch

from distill.world import scatter
from models.families.toy2d import Mixture, Net, integrate, labels, student
from models.schedule import VP, Flow, Trig, add_noise, to_x0

SCHEDULES = [Flow(), Trig(), VP()]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_closed_form_is_the_posterior_mean(schedule):
    """Importance sampling of E[x0 | x_t] from 400,000 draws of the prior."""
    mix = Mixture.ring(5, schedule=schedule)
    g = torch.Generator().manual_seed(0)
    for k, t in [(-1, 0.5), (2, 0.4), (-1, 0.9)]:
        cond, time = labels(torch.tensor([k]), 5), torch.tensor([t])
        x_t = torch.tensor([[0.4, -0.3]])
        x0 = mix.sample(cond.map(lambda v: v.expand(400_000, *v.shape[1:])), g)
        a, s = schedule.alpha(time), schedule.sigma(time)
        w = (-((x_t - a * x0) ** 2).sum(-1) / (2 * s**2)).softmax(0)
        assert torch.allclose(mix(x_t, time, cond)[0], (w[:, None] * x0).sum(0), atol=0.02)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_ode_carries_noise_to_data(schedule):
    mix = Mixture.ring(8, schedule=schedule)
    g = torch.Generator().manual_seed(1)
    cond = labels(torch.arange(8).repeat(100), 8)
    x = integrate(mix, torch.randn(800, 2, generator=g), cond, 100)
    off = x - mix.means.repeat(100, 1)
    assert off.mean(0).abs().max() < 0.02
    assert off.std() == pytest.approx(mix.std, rel=0.15)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_prediction_and_answer_agree(schedule):
    mix, cond = Mixture.ring(schedule=schedule), labels(torch.tensor([-1, 3]), 8)
    x, t = torch.tensor([[0.3, 0.1], [1.0, -2.0]]), torch.tensor([0.3, 0.8])
    x0 = to_x0(mix.prediction, schedule, x, mix.predict(x, t, cond), t)
    assert torch.allclose(x0, mix(x, t, cond), atol=1e-5)


def test_latents_have_unit_deviation():
    mix = Mixture.ring()
    x = mix.sample(labels(torch.full((20_000,), -1), 8), torch.Generator().manual_seed(0))
    assert x.std(0) == pytest.approx(torch.tensor([1.0, 1.0]), abs=0.05)


def test_empty_prompt_is_every_component():
    mix, g = Mixture.ring(4), torch.Generator().manual_seed(0)
    x = mix.sample(labels(torch.full((400,), -1), 4), g)
    assert len(torch.cdist(x, mix.means).argmin(1).unique()) == 4
    assert (torch.cdist(mix.sample(labels(torch.full((400,), 3), 4), g), mix.means).argmin(1) == 3).all()


def test_guidance_input_starts_without_effect_and_learns():
    plain = student(8)
    guided = plain.with_guidance()
    g = torch.Generator().manual_seed(0)
    cond = labels(torch.randint(-1, 8, (64,), generator=g), 8)
    x, t = torch.randn(64, 2, generator=g), torch.rand(64, generator=g)
    conditioned = type(cond)(cond.tokens, cond.mask, guidance=torch.rand(64, generator=g) * 5)
    assert torch.equal(plain(x, t, cond), guided(x, t, conditioned))
    net: Net = guided.network
    optimiser = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(2):
        optimiser.zero_grad()
        (guided(x, t, conditioned) * conditioned.guidance[:, None]).mean().backward()
        optimiser.step()
    assert net.guidance[0].weight.grad.abs().sum() > 0
    other = type(cond)(cond.tokens, cond.mask, guidance=conditioned.guidance + 2)
    assert not torch.equal(guided(x, t, conditioned), guided(x, t, other))


def test_student_is_a_function_of_its_seed():
    a, b, c = (student(seed=s).network.first.weight for s in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_double_precision_goes_through():
    """add_noise, the mixture and the net keep the dtype that they are given."""
    mix = Mixture.ring()
    cond = labels(torch.tensor([0, 1]), 8).map(lambda v: v.double() if v.is_floating_point() else v)
    x, t = torch.randn(2, 2, dtype=torch.float64), torch.rand(2, dtype=torch.float64)
    x_t = add_noise(mix.schedule, x, torch.randn_like(x), t)
    assert mix(x_t, t, cond).dtype == student().double()(x_t, t, cond).dtype == torch.float64


def test_a_sample_is_points_over_axes_and_the_truth():
    picture = (scatter(torch.tensor([[1.25, 0.0], [9.0, -9.0]]), Mixture.ring())[0] + 1) / 2

    def darkest(x, y):
        """Of the pixels around a point."""
        column, row = round((1 + x / 2.5) / 2 * 256), round((1 - y / 2.5) / 2 * 256)
        part = picture[:, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].flatten(1)
        return part[:, part.sum(0).argmin()]

    assert darkest(1.25, 0).max() < 0.3 and darkest(2.5, -2.5).max() < 0.3, "one outside lies at the edge"
    assert darkest(-2.3, 0).tolist() == pytest.approx([0.8] * 3, abs=0.01), "the axis"
    red, _, blue = darkest(0.3, 1.35)
    assert blue < red - 0.2, "a circle around a component"
    assert darkest(0.95, 0.4).min() == 1
