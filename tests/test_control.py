"""A control: without an effect until it is trained, a drawing that is obeyed afterwards, and its base untouched."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.mixture import NOISE, TEACHER, N, trainer
from distill import students
from distill.trainer import Trainer
from models.denoiser import Cond
from models.families import toy2d
from models.schedule import from_x0

MODES = torch.arange(N) % len(TEACHER.means)


def obeyed(t: Trainer) -> float:
    """Share of samples in the mode that the control names, where the prompt says nothing."""
    cond = toy2d.controlled(MODES, len(TEACHER.means))
    samples = toy2d.integrate(t.scene.world.student, NOISE, cond, 12)
    return float((TEACHER.posterior(samples).argmax(1) == MODES).float().mean())


def learnt(t: Trainer) -> tuple[float, float]:
    before = obeyed(t)
    while t.step < t.cfg.steps:
        t.advance()
    with t.averaged():
        return before, obeyed(t)


def test_it_learns():
    before, after = learnt(trainer("controlnet", 300, lr="3e-3"))
    assert before < 0.2 and after > 0.9, (before, after)


honest_control, honest_loss = toy2d.controlled, students.apart

BUGS = {
    "another sample's control": (toy2d, "controlled", lambda index, k: honest_control(index.roll(1), k)),
    "no control": (
        students,
        "apart",
        lambda net, x, t, cond, x0: honest_loss(net, x, t, replace(cond, control=0 * cond.control), x0),
    ),
    "the target flipped": (students, "from_x0", lambda *args: -from_x0(*args)),
    "a branch of zeros": (toy2d, "still", lambda first, last: zeros(first, last)),
}


def silent(cond: Cond) -> Cond:
    return replace(cond, control=0 * cond.control)


def zeros(first: nn.Linear, last: nn.Linear) -> nn.Sequential:
    for w in (*first.parameters(), *last.parameters()):
        nn.init.zeros_(w)
    return nn.Sequential(first, nn.SiLU(), last)


@pytest.mark.parametrize("bug", BUGS)
def test_with_a_bug_it_does_not(monkeypatch, bug):
    monkeypatch.setattr(*BUGS[bug])
    t = trainer("controlnet", 300, lr="3e-3")
    while t.step < t.cfg.steps:
        t.advance()
    monkeypatch.undo()
    assert obeyed(t) < 0.4
