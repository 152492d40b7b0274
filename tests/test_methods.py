"""Every method learns the 2-D mixture, whose answer is known, and plausible bugs do not.

Thresholds: sliced Wasserstein distance to the truth, set once from three seeds of the honest method and of each bug.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.mixture import FLOOR, learn, measure, trainer
from core import checkpoint
from distill import adversary, students
from distill.adversary import Adversary
from distill.losses import hinge_fake, hinge_real
from distill.method import Rows
from distill.methods import scm_ladd
from distill.trainer import Trainer
from tests.resuming import whole_and_resumed

CONSISTENCY = {"guidance": "1,1", "lr": "1e-3", "warmup": "100", "adversarial": "0"}
ADVERSARIAL = {"guidance": "1,1", "lr": "5e-5", "heads_lr": "1e-2", "consistency": "0", "largest": "1"}


def fresh(steps: int) -> Trainer:
    """A trainer whose student knows nothing yet."""
    t = trainer("sft", steps, lr="2e-3")
    torch.manual_seed(0)
    t.scene.world.student.apply(lambda m: m.reset_parameters() if isinstance(m, nn.Linear) else None)
    return t


def test_sft_learns():
    before, after = learn(fresh(600), 20)
    assert before > 0.15 and after < 0.06, (before, after, FLOOR)


def flipped(*args):
    return -honest_target(*args)


honest_target = students.from_x0


def test_sft_with_its_target_flipped_does_not(monkeypatch):
    monkeypatch.setattr(students, "from_x0", flipped)
    _, after = learn(fresh(600), 20)
    assert after > 0.2


def test_scm_learns():
    before, after = learn(trainer("scm_ladd", 500, **CONSISTENCY))
    assert before > 0.12 and after < 0.05, (before, after, FLOOR)


BUGS = {
    "sign of the tangent": lambda F, dF, x, dx, t, r: -honest_tangent(F, dF, x, dx, t, r),
    "teacher forgotten": lambda F, dF, x, dx, t, r: honest_tangent(F, dF, x, 0 * dx, t, r),
    "derivative forgotten": lambda F, dF, x, dx, t, r: honest_tangent(F, 0 * dF, x, dx, t, r),
    "time not warmed up": lambda F, dF, x, dx, t, r: honest_tangent(F, dF, x, dx, t, 0.0),
}
honest_tangent = scm_ladd.tangent


@pytest.mark.parametrize("bug", BUGS)
def test_scm_with_a_bug_does_not(monkeypatch, bug):
    monkeypatch.setattr(scm_ladd, "tangent", BUGS[bug])
    _, after = learn(trainer("scm_ladd", 500, **CONSISTENCY))
    assert after > 0.08


def test_ladd_alone_moves_a_student_to_the_truth():
    """At first, that is: later the two small networks chase each other round it."""
    before, after = learn(trainer("scm_ladd", 80, **ADVERSARIAL))
    assert before > 0.14 and after < 0.08, (before, after)


def swapped(monkeypatch, where) -> None:
    """Heads that take data for the student's and the student's for data."""
    monkeypatch.setattr(where, "hinge_real", hinge_fake)
    monkeypatch.setattr(where, "hinge_fake", hinge_real)


@pytest.mark.parametrize("bug", ["sign of fooling", "heads the wrong way round"])
def test_ladd_alone_with_a_bug_moves_it_away(monkeypatch, bug):
    if bug == "heads the wrong way round":
        swapped(monkeypatch, scm_ladd)
    t = trainer("scm_ladd", 80, **ADVERSARIAL)
    if bug == "sign of fooling":
        t.method.cfg = replace(t.method.cfg, adversarial=-0.5)
    before, after = learn(t)
    assert after > before + 0.05, (before, after)


def contest(turns: int = 36) -> tuple[float, float]:
    """Distance before and after of a student that has one step, and nothing but the adversary to learn from."""
    t = trainer("scm_ladd", turns, **ADVERSARIAL)
    student, judge = t.scene.world.student, Adversary(t.method.features)
    before, n = measure(t, 1), t.cfg.batch_size
    players = [torch.optim.AdamW(m.parameters(), lr, (0.9, 0.99)) for m, lr in ((judge, 1e-2), (student, 5e-5))]
    for turn in range(2 * turns):
        batch, rng = t.scene.batch(turn // 2, n, Rows(0, turn // 2, n)), Rows(0, turn, n, stream=1)
        conditioned = replace(batch.cond, guidance=torch.ones(n))
        fake = student(rng.randn_like(batch.x0), torch.ones(n), conditioned)
        tells = turn % 2 == 0
        loss = judge.tell(batch.x0, fake, batch.cond, rng)[0] if tells else judge.fool(fake, batch.cond, rng)
        players[turn % 2].zero_grad()
        loss.mean().backward()
        players[turn % 2].step()
    return before, measure(t, 1)


def test_the_adversary_moves_a_student_to_the_truth():
    before, after = contest()
    assert before > 0.14 and after < 0.1, (before, after)


honest_fool = Adversary.fool


@pytest.mark.parametrize("bug", ["sign of fooling", "heads the wrong way round"])
def test_the_adversary_with_a_bug_moves_it_away(monkeypatch, bug):
    if bug == "sign of fooling":
        monkeypatch.setattr(Adversary, "fool", lambda self, *args: -honest_fool(self, *args))
    else:
        swapped(monkeypatch, adversary)
    before, after = contest()
    assert after > before + 0.05, (before, after)


def test_scm_with_its_heads_resumes_exactly(tmp_path):
    first, second = whole_and_resumed(lambda: trainer("scm_ladd", 10, guidance="1,1"), tmp_path)
    assert first.keys() == second.keys() >= {"student", "student.ema", "heads", "heads.buffers"}
    for player, tensors in first.items():
        for name, w in tensors.items():
            assert torch.equal(w, second[player][name]), (player, name)


def test_heads_that_are_asked_for_later_start_as_new(tmp_path):
    """What was trained is taken over, and the adversarial part begins beside it."""
    alone = trainer("scm_ladd", 10, guidance="1,1", adversarial="0")
    for _ in range(4):
        alone.advance()
    checkpoint.save(tmp_path, alone.saved())
    both = trainer("scm_ladd", 10, guidance="1,1")
    both.restore(checkpoint.load(checkpoint.newest(tmp_path)[0]))
    before = {k: w.clone() for k, w in both.saved().tensors["heads"].items()}
    assert all(torch.equal(w, alone.saved().tensors["student"][k]) for k, w in both.saved().tensors["student"].items())
    for _ in range(2):
        both.advance()
    assert both.step == 6 and any(not torch.equal(w, before[k]) for k, w in both.saved().tensors["heads"].items())
