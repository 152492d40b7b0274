"""Concept sliders learn the 2-D mixture, where what a slider should answer is known, and plausible bugs do not."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.mixture import NOISE, TEACHER, N, learn, trainer
from distill.data import ends
from distill.data.ends import KNOWN
from distill.methods import slider
from distill.methods.slider import Drawn
from models.adapt import scaled, without
from models.families.toy2d import labels
from models.prompt import shared
from ui.create.trained import train_slider
from ui.jobs.desk import JobsDesk, Visitor
from ui.place import Place

STUDIO = []
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
    assert shared("a small red ball", "a big red ball") == "a red ball"
    assert shared("a blue car on a blue background", "a red car on a pink background") == "a car on a background"
    assert shared("small", "big") == ""


def test_its_pairs_are_those_of_the_slider_that_is_named():
    method: Any = trainer("slider", 1, slider="1/5").method
    assert method.low.tokens[:, 0].argmax(1).unique().tolist() == [1]
    assert method.high.tokens[:, 0].argmax(1).unique().tolist() == [5]
    assert method.both.tokens.sum() == 0
    with pytest.raises(ValueError, match="unknown slider 'mood'"):
        trainer("slider", 1, slider="mood")


def towards() -> tuple[float, float]:
    """Where a slider that learnt from pairs of points leads at strengths -1 and 1, between their two components: 0 is
    where it should, 1 the other's place."""
    t = trainer("slider", 250, batch_size=128, lr="5e-3", rank="4", slider=f"{LOW}/{HIGH}")
    c, low, high = (labels(torch.full((N,), k), len(TEACHER.means)) for k in (-1, LOW, HIGH))
    ends = [TEACHER.sample(cond, torch.Generator().manual_seed(3)) for cond in (low, high)]
    method: Any = t.method
    method.drawn = Drawn(ends[0], ends[1], c)
    learn(t)
    x_t, moment, out = NOISE, torch.full((N,), 0.97), []
    for s, own, other in ((-1.0, LOW, HIGH), (1.0, HIGH, LOW)):
        with torch.no_grad(), scaled(t.scene.world.student, s):
            x0 = t.scene.world.student(x_t, moment, c).mean(0)
        a, b = TEACHER.means[own], TEACHER.means[other]
        out.append(float((x0 - a) @ (b - a) / (b - a).square().sum()))
    return out[0], out[1]


def test_a_slider_learns_both_ends_of_pairs_of_pictures():
    assert max(map(abs, towards())) < 0.2


learnt = slider.Method.of_pictures
WRONG = {
    "ends swapped": lambda self, batch, rng, drawn: learnt(self, batch, rng, Drawn(drawn.high, drawn.low, drawn.cond)),
    "one end alone": lambda self, batch, rng, drawn: learnt(
        self, batch, rng, Drawn(drawn.high, drawn.high, drawn.cond)
    ),
}


@pytest.mark.parametrize("bug", WRONG)
def test_with_a_bug_it_does_not_learn_pairs(monkeypatch, bug):
    monkeypatch.setattr(slider.Method, "of_pictures", WRONG[bug])
    assert max(map(abs, towards())) > 0.4


@pytest.mark.parametrize("name", ["size", "roundness", "pattern", "background", "warmth", "count"])
def test_a_pair_of_toys_differs_in_one_attribute_that_its_caption_leaves_open(name):
    words = {"size": "big large small little tiny", "pattern": "striped plain", "count": "big small one four three"}
    for index in (0, 3):
        pair = KNOWN[name](0, index)
        same = (pair.low == pair.high).all(2)
        corners = same[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert not same.all() and corners.all() == (name not in ("background", "warmth"))
        assert not set(words.get(name, "").split()) & set(pair.caption.split())
        again = KNOWN[name](0, index)
        assert np.array_equal(pair.low, again.low) and pair.caption == again.caption


def test_a_persons_pairs_are_two_folders(studio, tmp_path):
    home = studio / "datasets" / "my-hats"
    for end, colour, words in (("low", "black", "a cat without a hat"), ("high", "white", "a cat with a hat")):
        (home / end).mkdir(parents=True)
        for name in ("a", "b"):
            Image.new("RGB", (128, 128), colour).save(home / end / f"{name}.png")
            (home / end / f"{name}.txt").write_text(words)
    pairs = ends.ends("my-hats", 9)
    assert [(int(p.low.max()), int(p.high.min()), p.caption) for p in pairs] == [(0, 255, "a cat a hat")] * 2
    for file in ("b.png", "b.txt"):
        (home / "low" / file).unlink()
    with pytest.raises(ValueError, match="^b.png of my-hats is in one of the folders low and high"):
        ends.ends("my-hats", 9)
    with pytest.raises(ValueError, match="^there are no pairs of pictures '../x'; valid: size, roundness, pattern, "):
        slider.Config(pictures="../x")
    with pytest.raises(ValueError, match="^there are no pairs of pictures '../datasets/my-hats'"):
        slider.Config(pictures="../datasets/my-hats")


def test_two_words_on_create_are_the_job_of_a_training_on_the_models_base(studio):
    desk = JobsDesk(Place())
    for model, base in (("toybox-hyper", "toybox-sd"), ("toybox-sprint", "toybox-sana")):
        id = train_slider(desk, {"words": "plain/striped", "model": model}, Visitor())["id"]
        request = desk.store.get(id).request
        assert (request["method"], request["base"], request["dataset"]) == ("slider", base, "toys")
        assert {"slider=plain/striped", "train.steps=120"} <= set(request["set"])
    with pytest.raises(ValueError, match="^unknown slider 'mood'; valid: "):
        train_slider(desk, {"words": "mood", "model": "toybox-hyper"}, Visitor())
