"""A control: without an effect until it is trained, a drawing that is obeyed afterwards, and its base untouched."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.mixture import NOISE, TEACHER, N, trainer
from distill import students
from distill.method import Batch, Rows, World
from distill.methods import controlnet
from distill.trainer import Trainer
from models.denoiser import Cond
from models.families import toy2d
from models.families.sd import UNetDenoiser
from models.manifest import CONTROLS
from models.schedule import from_x0
from tests import tiny
from tests.resuming import whole_and_resumed

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


@pytest.fixture
def student():
    torch.manual_seed(0)
    return controlnet.student(controlnet.Config(), UNetDenoiser(tiny.unet()))


def steered(n: int) -> Cond:
    tokens, kinds = torch.randn(n, 4, 384), torch.arange(n) % len(CONTROLS)
    mask = torch.ones(n, 4, dtype=torch.bool)
    return Cond(tokens, mask, control=torch.rand(n, 3, 128, 128), control_kind=kinds)


def test_untrained_it_is_no_control_bit_for_bit(student):
    x_t, t, cond = torch.randn(4, 16, 8, 8), torch.tensor([0.2, 0.5, 0.8, 1.0]), steered(4)
    bare = UNetDenoiser(student.network)
    with torch.no_grad():
        assert torch.equal(student(x_t, t, cond), bare(x_t, t, cond))
        nn.init.normal_(student.control.network.controlnet_mid_block.weight)
        assert not torch.equal(student(x_t, t, cond), bare(x_t, t, cond))


def test_its_base_is_untouched_and_every_part_of_it_learns(student):
    """In the second step, as the outputs begin at zero and pass no gradient in the first."""
    before = {k: w.clone() for k, w in student.network.state_dict().items()}
    method = controlnet.Method(World(student, null=steered(1)), controlnet.Config(drop=0.0))
    moving = {k: w for k, w in student.named_parameters() if w.requires_grad}
    assert {id(w) for w in moving.values()} == {id(w) for w in student.control.parameters()}
    optimiser = torch.optim.SGD(moving.values(), 0.1)
    for step in range(2):
        optimiser.zero_grad()
        batch = Batch(step, x0=torch.randn(4, 16, 8, 8), cond=steered(4))
        method.loss("student", batch, Rows(0, step, 4)).loss.backward()
        optimiser.step()
    assert all(torch.equal(w, before[k]) for k, w in student.network.state_dict().items())
    assert [k for k, w in moving.items() if w.grad is None or not w.grad.any()] == []


def test_it_is_thinner_than_the_encoder_and_begins_as_it(student):
    """No attention at the first resolution; what both have is a copy."""
    own, base = student.control.network.state_dict(), student.network.state_dict()
    assert not any(k.startswith("down_blocks.0.attentions") for k in own)
    shared = [k for k in own if k in base]
    assert len(shared) > 60 and all(torch.equal(own[k], base[k]) for k in shared)


def test_it_resumes_exactly(tmp_path):
    first, second = whole_and_resumed(lambda: trainer("controlnet", 10), tmp_path)
    assert first.keys() == second.keys() == {"student", "student.ema"}
    assert all(name.startswith("control.") for name in first["student"])
    assert all(torch.equal(w, second[player][name]) for player, ws in first.items() for name, w in ws.items())
