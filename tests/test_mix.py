"""Shares of the domains by the gap between student and teacher: DDK's formula, the draws, and a training."""

import numpy as np
import pytest
import torch

from benchmarks.mixture import trainer
from distill import mix
from distill.data import often
from distill.draws import Draws, domain
from distill.method import Rows
from distill.mix import updated
from distill.trainer import Trainer, mixing
from tests.resuming import whole_and_resumed

LOST = 3  # the component that the student has forgotten


class Part:
    """Cached rows with attributes alone."""

    def __init__(self, name: str, *attributes: dict):
        self.name, self.attributes = name, list(attributes)
        self.captions = [["a", "b"]] * len(attributes)

    def __len__(self) -> int:
        return len(self.attributes)


TOY, BESIDE = {"kind": "mug", "count": 1}, {"kind": "mug", "count": 2, "relation": "left of"}
PARTS = [Part("toys", TOY, TOY, BESIDE), Part("emoji", {"group": "foods"}, {"group": "symbols"})]


def test_the_shares_are_those_of_the_formula():
    prior, gaps = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([1.0, 2.0, 3.0])
    psi = torch.tensor([0.5 * np.exp(0.5), 0.3 * np.exp(1.0), 0.2 * np.exp(1.5)])
    expected = 0.5 * psi / psi.sum() + 0.5 * prior
    assert torch.allclose(updated(prior, gaps, prior, 1.0), expected.float())
    assert torch.allclose(updated(prior, torch.ones(3), prior, 3.0), prior)  # no gap, no change
    shares = prior
    for _ in range(30):  # a domain that is learnt keeps half of its usual share
        shares = updated(shares, torch.tensor([1.0, 0.0, 0.0]), prior, 3.0)
    assert shares.sum() == pytest.approx(1) and (shares >= prior / 2 - 1e-6).all() and shares[0] > 0.7


def test_a_picture_has_the_domain_of_its_scene():
    assert domain(TOY) == "one thing" and domain(BESIDE) == "two, one beside the other"
    assert domain({"kind": "mug", "count": 3}) == "several of a kind"
    assert domain({"kind": "mug", "count": 2, "relation": "on"}) == "two, one before or on the other"
    assert domain({"emoji": "fox", "group": "nature"}) == "nature" and domain({}) == "the rest"


def test_domains_are_drawn_by_their_shares_and_their_rows_by_weight():
    draws = Draws(PARTS, often)
    usual = draws.domains()
    assert usual["foods"] == pytest.approx(5 / 6 / 2) and usual["one thing"] == pytest.approx(2 / 4.5 / 2)
    before = [(part.name, i) for part, i, _ in draws(500, Rows(0, 0, 500))]
    shares = {name: 0.7 if name == "symbols" else 0.1 for name in usual}
    draws.share(list(shares.values()))
    drawn = [domain(part.attributes[i]) for part, i, _ in draws(20_000, Rows(0, 1, 20_000))]
    for name, share in shares.items():
        assert drawn.count(name) / 20_000 == pytest.approx(share, abs=0.01)
    draws.share(list(usual.values()))
    assert [(part.name, i) for part, i, _ in draws(500, Rows(0, 0, 500))] == before
    assert [domain(part.attributes[i]) for part, i, _ in draws.some(2)] == [n for n in usual for _ in range(2)]


def forgetful(steps: int, sharp: float = 1.0) -> Trainer:
    """A training of a student that has lost one component, with shares by the gap."""
    t = trainer("lcm", steps, guidance="1", lr="1e-3")
    prompt = dict(t.scene.world.student.named_modules())["network.prompt"]
    prompt.weight.data[:, LOST] = 0
    cfg = type(t.cfg)(**(vars(t.cfg) | {"mix": "gap", "mix_every": 5, "mix_sharp": sharp}))
    t.cfg, t.mix = cfg, mixing(t.scene, cfg)
    return t


def test_what_the_student_has_lost_is_drawn_more_until_it_is_back():
    t = forgetful(200)
    gaps = t.mix.gaps()
    assert gaps.argmax() == LOST and gaps[LOST] > 3 * gaps.median()
    t.advance()
    assert t.mixed[f"share/component {LOST}"] == t.mix.shares[LOST] > 0.25
    drawn = t.scene.batch(1, 4000, Rows(0, 1, 4000)).captions.count(str(LOST)) / 4000
    assert drawn == pytest.approx(float(t.mix.shares[LOST]), abs=0.03)
    for _ in range(199):
        t.advance()
    assert t.mix.gaps()[LOST] < gaps[LOST] / 4


def test_upside_down_it_is_drawn_less(monkeypatch):
    monkeypatch.setattr(mix, "updated", lambda r, gaps, prior, sharp: updated(r, gaps, prior, -sharp))
    t = forgetful(10)
    t.advance()
    assert t.mix.shares[LOST] < 1 / 8


def test_a_resumed_training_has_the_same_shares(tmp_path):
    whole, resumed = whole_and_resumed(lambda: forgetful(10), tmp_path)
    assert all(torch.equal(w, resumed[player][k]) for player, tensors in whole.items() for k, w in tensors.items())
    assert "mix" in whole and whole["mix"]["shares"][LOST] > 1 / 8


def test_without_a_teacher_there_is_no_gap():
    t = trainer("sft", 10)
    cfg = type(t.cfg)(**(vars(t.cfg) | {"mix": "gap"}))
    scene = t.scene.__class__(**(vars(t.scene) | {"domains": None}))
    with pytest.raises(ValueError, match="train.mix=gap needs a method that is trained on latents"):
        mixing(scene, cfg)
