"""What DMD, DisBack and multi-student distillation do beside learning: stages, targets, pairs, routing.

That they learn at all, and resume, is in `test_distillers.py`.
"""

from itertools import groupby

import pytest
import torch
from torch import nn

from benchmarks.ablations import swap
from benchmarks.mixture import COND, NOISE, TEACHER, N, learn, measure
from distill import students
from distill.method import Batch, Rows
from models import weights
from models.denoiser import Cond
from models.route import Router
from tests.test_distillers import DISBACK, DMD, MSD, run


def test_several_steps_of_dmd_train_on_their_own_inputs(monkeypatch):
    """Backward simulation: the second step sees the first one's picture noised again, and noise alone at the first."""
    method = run(DMD, times="1.0,0.5").method
    seen, net = [], method.w.student
    monkeypatch.setattr(type(net), "forward", lambda self, x, t, cond: seen.append((x, t)) or torch.full_like(x, 9.0))
    noise = torch.randn(4, 2)
    students.simulate(net, noise, COND.map(lambda v: v[:4]), (1.0, 0.5), 1, Rows(0, 0, 4))
    (first, one), (second, half) = seen
    assert torch.equal(first, noise) and (one == 1).all() and (half == 0.5).all()
    assert (second > 2).all(), "half of the first picture, 9, and half noise"


@pytest.mark.parametrize(("below", "guidance"), [(0.0, 1.0), (1.0, 3.0)])
def test_guidance_of_dmd_acts_below_its_time_alone(below, guidance):
    """Nowhere: the same as none. Everywhere: the same as guidance without a bound. Between the two: neither."""
    x, rows = TEACHER.sample(COND, torch.Generator().manual_seed(0)), lambda: Rows(0, 0, len(NOISE))
    null = COND.map(torch.zeros_like)

    def direction(scale: float, bound: float):
        return students.matching(x, TEACHER, lambda x, t, cond: x, COND, null, scale, rows(), bound)[0]

    assert torch.allclose(direction(3.0, below), direction(guidance, 1.0), atol=1e-6)
    assert not torch.allclose(direction(3.0, 0.5), direction(guidance, 1.0), atol=1e-3)


def test_noisier_matching_asks_at_later_times():
    """The mean of u^(1 / k) is k / (k + 1)."""
    times = []

    def fake(x_t, t, cond):
        times.append(t)
        return x_t

    for noisy in (1.0, 3.0):
        students.matching(NOISE, TEACHER, fake, COND, COND, 1.0, Rows(0, 0, len(NOISE)), noisy=noisy)
    plain, late = (t.mean().item() for t in times)
    assert abs(plain - 0.5) < 0.03 and abs(late - 0.74) < 0.03
    noisier = run(DMD, noisy="3.0", alone="0", ratio="1")
    seen = []
    noisier.method.fake = lambda x_t, t, cond: seen.append(t) or x_t
    noisier.move(0, noisier.movers[0])
    assert seen[0].mean() > 0.65, "as the setting says"


def test_disback_walks_back_from_what_it_recorded_to_the_teacher():
    t = run(DISBACK, alone="20", nodes="4", per_node="5")
    start = weights.digest(t.method.critic["fake"])
    seen = []
    for step in range(45):
        if t.step >= 20:
            target = t.method.target(t.step)
            seen.append("teacher" if target is TEACHER or target is t.method.w.teacher else weights.digest(target))
        t.advance()
        if step == 4:
            assert weights.digest(t.scene.world.student) == start, "the student waits while the way is recorded"
    assert [len(list(g)) for _, g in groupby(seen)] == [5, 5, 5, 10] and seen[-1] == "teacher"
    assert len(set(seen)) == 4 and len(t.method.path) == 4


def test_disback_guides_its_last_target_alone():
    method = run(DISBACK, alone="20", nodes="4", per_node="5", guidance="3").method
    assert [method.guidance(step) for step in (20, 29, 34, 35, 99)] == [1, 1, 1, 3, 3]


def test_before_its_first_turn_a_players_average_is_what_others_made():
    """msd matches scores first: what is shown and published until then is not where the students began."""
    t = run(MSD, matching="6", ratio="2")
    while t.step < 5:
        t.advance()
    early = t.saved().tensors
    assert all(torch.equal(early["student.ema"][k], w) for k, w in early["student"].items())
    first, *others = (m.state_dict() for m in t.scene.world.student.members)
    assert all((first[k] - other[k]).abs().max() < 0.01 for other in others for k in first)
    while t.step < 9:
        t.advance()
    late = t.saved().tensors
    assert not all(torch.equal(late["student.ema"][k], w) for k, w in late["student"].items())


def test_pairs_hold_a_student_of_dmd_to_the_teachers_pictures():
    """To the very one of the same noise, which matching a distribution does not ask for."""
    apart = {}
    for weight in ("0", "4"):
        t = run(DMD, pairs=weight, alone="0", ratio="1")
        logs = [t.advance() for _ in range(150)]
        assert ("student/pairs" in logs[0]) == (weight == "4")
        with torch.no_grad():
            apart[weight] = t.method.regression(Batch(0, x0=NOISE, cond=COND), Rows(7, 0, len(NOISE))).mean().item()
    assert apart["4"] < 0.4 * apart["0"], apart  # 0.13 to 0.20 on three seeds


def test_pairs_go_to_any_student_not_to_their_prompts(monkeypatch):
    method = run(MSD).method
    members, seen = list(method.w.student.members), set()
    honest = students.simulate
    monkeypatch.setattr(students, "simulate", lambda net, *args: seen.add(members.index(net)) or honest(net, *args))
    one = COND.map(lambda v: v[:1].expand(8, *v.shape[1:]))  # one prompt, which has one student
    for step in range(40):
        method.regression(Batch(step, x0=NOISE[:8], cond=one), Rows(0, step, 8))
    assert seen == {0, 1, 2, 3}


def test_students_are_routed_in_equal_parts_and_by_their_own_prompts():
    t = run(MSD, matching="50", pairs="0")  # what teaches all of them all prompts
    learn(t)
    routed, right = t.scene.world.student, measure(t, 1)
    assert routed.router(COND).bincount().tolist() == [N // 4] * 4
    swap(routed)
    assert measure(t, 1) > 5 * right, "the students are all alike"


@pytest.mark.parametrize("matching", ["4", "5"])
def test_the_fake_of_students_starts_where_score_matching_ended(matching):
    """Also where the student's first turn comes later than the critic's."""
    t = run(MSD, matching=matching, ratio="2", fake_lr="0")
    for _ in range(int(matching)):
        t.advance()
    student = t.scene.world.student
    ended = {k: v.clone() for k, v in student.members[0].state_dict().items()}
    t.advance()
    assert [m for i in range(4) for m in same(t.method.critic["fake"].members[i], ended)] == [True] * 4 * len(ended)
    average = next(m for m in t.movers if m.name == "student")
    while t.step <= average.first:
        t.advance()
    assert all((v - ended[k.partition(".")[2].partition(".")[2]]).abs().max() < 0.01 for k, v in average.ema.items())


def same(net: nn.Module, weights: dict) -> list[bool]:
    return [torch.equal(v, weights[k]) for k, v in net.state_dict().items()]


def test_a_router_cuts_real_prompts_in_equal_parts_and_says_what_it_cannot_do():
    x = torch.randn(801, 3, 16) @ torch.randn(16, 16)
    prompts = Cond(x, torch.rand(801, 3) < torch.tensor([1.1, 0.7, 0.7]))
    counts = Router.fit(prompts, 8)(prompts).bincount()
    assert counts.min() >= 99 and counts.max() <= 102
    with pytest.raises(ValueError, match="1, 2, 4, 8"):
        Router.fit(prompts, 3)
