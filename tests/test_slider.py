"""Concept sliders learn the 2-D mixture, where what a slider should answer is known, and plausible bugs do not."""

from typing import Any

import pytest
import torch

from benchmarks.mixture import NOISE, TEACHER, N, learn, trainer
from distill.methods import slider
from models.adapt import scaled, without
from models.families.toy2d import labels

LOW, HIGH, PUSH = 2, 6, 0.5  # components at opposite ends of the ring


def left() -> list[float]:
    """How far a trained slider is from what it should answer at strengths -1 and 1, as a share of the way there.

    The answer is the network's own, as the exact one would also measure how well the network has learnt the mixture.
    """
    t = trainer("slider", 900, lr="3e-3", slider=f"{LOW}/{HIGH}", push=str(PUSH), guidance="1", rank="4")
    net = t.scene.world.student
    learn(t)
    c, low, high = (labels(torch.full((N,), k), len(TEACHER.means)) for k in (-1, LOW, HIGH))
    out = []
    for time in (0.9, 0.6):
        x_t, moment = NOISE * time, torch.full((N,), time)
        with torch.no_grad(), without(net):
            plain, step = net(x_t, moment, c), PUSH * (net(x_t, moment, high) - net(x_t, moment, low))
        for s in (-1.0, 1.0):
            with torch.no_grad(), scaled(net, s):
                out.append(float((net(x_t, moment, c) - plain - s * step).norm() / step.norm()))
    return out


def test_a_slider_learns_both_of_its_ends():
    assert max(left()) < 0.5


def adapted(self, x, t, low, high, both, s):
    """The target with the adapter on."""
    net = self.w.student
    return (net(x, t, both) + s * self.cfg.push * (net(x, t, high) - net(x, t, low))).detach()


honest = slider.Method.target
BUGS = {
    "ends swapped": lambda self, x, t, low, high, both, s: honest(self, x, t, high, low, both, s),
    "strength forgotten": lambda self, x, t, low, high, both, s: honest(self, x, t, low, high, both, 1.0),
    "pair forgotten": lambda self, x, t, low, high, both, s: honest(self, x, t, both, both, both, s),
    "base adapted": adapted,
}


@pytest.mark.parametrize("bug", BUGS)
def test_with_a_bug_it_does_not(monkeypatch, bug):
    monkeypatch.setattr(slider.Method, "target", BUGS[bug])
    assert max(left()) > 0.6


def test_what_a_pair_shares_is_its_neutral_prompt():
    assert slider.shared("a small red ball", "a big red ball") == "a red ball"
    assert slider.shared("a blue car on a blue background", "a red car on a pink background") == "a car on a background"
    assert slider.shared("small", "big") == ""


def test_its_pairs_are_those_of_the_slider_that_is_named():
    method: Any = trainer("slider", 1, slider="1/5").method
    assert method.low.tokens[:, 0].argmax(1).unique().tolist() == [1]
    assert method.high.tokens[:, 0].argmax(1).unique().tolist() == [5]
    assert method.both.tokens.sum() == 0
    with pytest.raises(ValueError, match="unknown slider 'mood'"):
        trainer("slider", 1, slider="mood")
