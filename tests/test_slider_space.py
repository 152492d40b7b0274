"""Sliders without words learn the 2-D mixture: they go where its samples differ, by as much as they say, either way."""

import pytest
import torch

from benchmarks.mixture import NOISE, N, learn, trainer
from distill.methods import slider_space
from distill.methods.slider_space import principal
from models.adapt import scaled, without
from models.families.toy2d import labels

STUDIO = []
PUSH = 0.4


def left() -> float:
    """How far a trained slider is from where it should lead at strengths -1 and 1, as a share of the way there."""
    own = {"lr": "3e-3", "prompt": "any", "push": str(PUSH), "guidance": "1", "rank": "4"}
    t = trainer("slider_space", 900, **own)
    net = t.scene.world.student
    learn(t)
    step, c, out = t.method.pushed(NOISE), labels(torch.full((N,), -1), 8), []
    for time in (0.9, 0.6):
        x_t, moment = NOISE * time, torch.full((N,), time)
        with torch.no_grad(), without(net):
            plain = net(x_t, moment, c)
        for s in (-1.0, 1.0):
            with torch.no_grad(), scaled(net, s):
                away = net(x_t, moment, c) - plain - s * step
                out.append(float(away.norm(dim=1).mean() / step.norm()))
    return max(out)


def test_a_slider_without_words_goes_both_ways_along_its_direction():
    assert left() < 0.5


def one_sided(self, seen, s, step):
    return honest(self, seen, 1.0, step)


def forgets_the_picture(self, seen, s, step):
    return s * step


honest = slider_space.Method.target


@pytest.mark.parametrize("bug", [one_sided, forgets_the_picture], ids=lambda bug: bug.__name__)
def test_plausible_bugs_are_seen(bug, monkeypatch):
    monkeypatch.setattr(slider_space.Method, "target", bug)
    assert left() > 0.8


def test_directions_are_those_of_most_variance_with_their_deviations():
    rng = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=rng)).Q
    points = torch.randn(20_000, 3, generator=rng) * torch.tensor([3.0, 1.0, 0.2]) @ turn.mT + 7
    for k, deviation in ((1, 3.0), (2, 1.0), (3, 0.2)):
        v, sigma = principal(points, k)
        assert sigma == pytest.approx(deviation, rel=0.03) and v.norm() == pytest.approx(1)
        assert abs(v @ turn[:, k - 1]) > 0.99 and v[v.abs().argmax()] > 0


def test_the_direction_is_that_of_what_the_prompt_paints():
    """All components differ by the ring's radius, one of them by its own small deviation."""
    wide, narrow = (trainer("slider_space", 1, prompt=prompt, push="1", guidance="1") for prompt in ("any", "3"))
    assert wide.method.pushed(NOISE).norm() > 4 * narrow.method.pushed(NOISE).norm()
