"""Every method learns the 2-D mixture, whose answer is known, and plausible bugs do not.

Thresholds: sliced Wasserstein distance to the truth, set once from three seeds of the honest method and of each bug.
"""

import pytest
import torch
from torch import nn

from benchmarks.mixture import FLOOR, learn, trainer
from distill.methods import scm_ladd, sft
from distill.train import Trainer

CONSISTENCY = {"guidance": "1,1", "lr": "1e-3", "warmup": "100", "adversarial": "0"}


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


honest_target = sft.from_x0


def test_sft_with_its_target_flipped_does_not(monkeypatch):
    monkeypatch.setattr(sft, "from_x0", flipped)
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
