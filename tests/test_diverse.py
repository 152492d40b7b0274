"""DP-DMD: the first of several steps learns where the teacher goes; the others match, and nothing of it reaches it."""

from dataclasses import replace

import pytest
import torch

from benchmarks.mixture import COND, NOISE, TEACHER, trainer
from distill import students
from distill.method import Batch, Rows
from distill.methods.dmd import landing
from models.guidance import Turn
from models.samplers import sample
from models.schedule import VP, Flow, Trig, ddim
from models.stepping import ConsistencySteps

OWN = {"lr": "5e-4", "fake_lr": "1e-3", "adversarial": "0", "guidance": "1", "times": "1.0,0.75,0.5,0.25"}


@pytest.mark.parametrize("schedule", [Flow(), Trig(), VP()], ids=lambda s: type(s).__name__)
def test_the_target_is_the_one_step_that_lands_where_the_teacher_is(schedule):
    g = torch.Generator().manual_seed(0)
    x, x0 = torch.randn(5, 2, generator=g), torch.randn(5, 2, generator=g)
    t, s = torch.full((5,), 0.98), torch.full((5,), 0.6)
    torch.testing.assert_close(landing(schedule, x, t, ddim(schedule, x, x0, t, s), s), x0, rtol=1e-3, atol=1e-4)


def test_of_a_flow_it_is_the_mean_velocity():
    """(eps - z_K) / (1 - t_K), as the paper has it."""
    g = torch.Generator().manual_seed(0)
    noise, z, one, s = (
        torch.randn(5, 2, generator=g),
        torch.randn(5, 2, generator=g),
        torch.ones(5),
        torch.full((5,), 0.6),
    )
    torch.testing.assert_close(noise - landing(Flow(), noise, one, z, s), (noise - z) / (1 - 0.6))


def test_the_first_step_goes_where_the_teacher_goes():
    left = {}
    for weight in ("0", "1"):
        t = trainer("dmd", 400, 0, **OWN, diverse=weight, alone="0", ratio="1")
        logs = [t.advance() for _ in range(400)]
        assert ("student/first" in logs[0]) == (weight == "1")
        with torch.no_grad():
            left[weight] = t.method.first_step(Batch(0, x0=NOISE, cond=COND), Rows(7, 0, len(NOISE))).mean().item()
    assert left["1"] < 0.3 * left["0"], left


def test_the_first_step_is_not_matched_and_no_gradient_of_the_others_reaches_it(monkeypatch):
    t = trainer("dmd", 10, 0, **OWN, diverse="1")
    seen, honest = [], students.simulate
    monkeypatch.setattr(students, "simulate", lambda *args: seen.append(args[4]) or honest(*args))
    batch = Batch(0, x0=TEACHER.sample(COND, torch.Generator().manual_seed(0)), cond=COND)
    for step in range(30):
        t.method.pictures(batch, Rows(0, step, len(NOISE)))
    assert set(seen) == {1, 2, 3}
    outputs, net = [], t.method.w.student
    monkeypatch.setattr(
        type(net), "forward", lambda self, x, t, cond: outputs.append(self.network(x, t, cond)) or outputs[-1]
    )
    honest(net, NOISE, COND, (1.0, 0.5, 0.25), 2, Rows(0, 0, len(NOISE)))
    assert [out.requires_grad for out in outputs] == [False, False, True]


def test_one_step_has_no_other_to_be_matched():
    t = trainer("dmd", 10, 0, **OWN | {"times": "1.0"}, diverse="1")
    assert not t.method.taught_first and "student/first" not in t.advance()


def on_a_mode(seed: int) -> float:
    """Share of samples that are on a mode. The empty prompt leaves all eight open; the student knows three at first."""
    t = trainer(
        "dmd", 1500, seed, **OWN | {"times": "1.0,0.4", "lr": "1e-3", "fake_lr": "2e-3", "ratio": "1"}, diverse="1"
    )
    narrow(t.method.w.student, seed)
    t.method.fake.load_state_dict(t.method.w.student.state_dict())
    honest = t.method.loss
    t.method.loss = lambda player, batch, rng: honest(player, replace(batch, cond=opened(batch.cond)), rng)
    while t.step < t.cfg.steps:
        t.advance()
    g, net = torch.Generator().manual_seed(11), t.method.w.student
    stepper = ConsistencySteps(net.schedule, t.method.cfg.times, lambda x: torch.randn(x.shape, generator=g))
    with t.averaged(), torch.no_grad():
        x = sample(stepper, NOISE, [Turn(net)] * 2, opened(COND))
    return (torch.cdist(x, TEACHER.means).min(1).values < 3 * TEACHER.std).float().mean().item()


def opened(cond):
    return replace(cond, tokens=torch.zeros_like(cond.tokens))


def narrow(net, seed: int) -> None:
    """Denoising of three modes alone."""
    g, optimizer = torch.Generator().manual_seed(seed + 99), torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(600):
        x0 = TEACHER.means[torch.randint(3, (256,), generator=g)] + TEACHER.std * torch.randn(256, 2, generator=g)
        t, noise = torch.rand(256, generator=g), torch.randn(256, 2, generator=g)
        x = (1 - t[:, None]) * x0 + t[:, None] * noise
        loss = (net.predict(x, t, opened(COND).map(lambda v: v[:256])) - (noise - x0)).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.slow
def test_without_the_stop_the_first_step_is_pulled_off_its_target(monkeypatch):
    """On two seeds 0.60 and 0.64 of the samples are on a mode, 0.47 and 0.51 where the gradient goes on."""
    kept = on_a_mode(0)

    def leaky(net, x, cond, times, step, rng):
        stepper = ConsistencySteps(net.schedule, times[: step + 1], rng.randn_like)
        return sample(stepper, x, [Turn(net)] * (step + 1), cond)

    monkeypatch.setattr(students, "simulate", leaky)
    assert kept > 0.56 > on_a_mode(0) + 0.04
