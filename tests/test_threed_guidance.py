"""What the teacher's answers do to latents, against teachers whose answers are known, and the renders' own score."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models import catalogue, families
from models.camera import numbers
from models.denoiser import Cond
from models.families.sd import UNetDenoiser
from models.schedule import VP, add_noise, ddim
from models.views import Camera
from tests import tiny
from threed import guidance
from threed.fit import draws
from threed.guidance import Ask, inverted, target, times
from threed.prompts import backgrounds
from threed.score import ScoreNetwork
from threed.teacher import Teacher

B, SHAPE = 6, (2, 4, 4)
MEAN, STD = 1.5, 0.3


def posterior(x_t: Tensor, t: Tensor, mean: float, std: float) -> Tensor:
    """x0 of data N(mean, std^2), exactly."""
    a, s = (f(t).reshape(-1, 1, 1, 1) for f in (VP().alpha, VP().sigma))
    gain = a * std**2 / (a**2 * std**2 + s**2)
    return mean + gain * (x_t - a * mean)


class Exact:
    """A teacher of one prompt: x0 is told by the formula, guidance and views change nothing."""

    schedule, told_cameras = VP(), False

    def cond(self, *_: Any) -> None:
        return None

    def null(self, _: int) -> None:
        return None

    def __call__(self, x_t: Tensor, t: Tensor, conds: list) -> list[Tensor]:
        return [posterior(x_t, t, MEAN, STD)] * len(conds)


def ask(turned: int = 0) -> Ask:
    teacher: Any = Exact()
    return Ask(teacher, [], [], 3.0, turned)


def moved(mode: str, score=None, rounds: int = 60) -> Tensor:
    """Latents that follow the targets of a mode, from the wrong place."""
    g, z = torch.Generator().manual_seed(0), torch.full((B, *SHAPE), -1.0)
    for k in range(rounds):
        t = times(k / rounds, B, g)
        y = target(mode, z, t, torch.randn(z.shape, generator=g), ask(), score)
        z = torch.lerp(z, y, 0.5)
    return z


@pytest.mark.parametrize("mode", ["pool", "sds", "sdi"])
def test_latents_come_to_where_the_teacher_has_its_pictures(mode):
    assert abs(float(moved(mode).mean()) - MEAN) < 0.15


def now(z_mean: float):
    """The score of renders that all are the same."""
    return lambda x_t, t: torch.full_like(x_t, z_mean)


def test_vsd_moves_renders_until_their_score_is_the_teachers():
    """With a score that keeps up they end at the teacher's mean; with one that never learns from it they stay."""
    g, z = torch.Generator().manual_seed(0), torch.full((B, *SHAPE), -1.0)
    for k in range(60):
        t = times(k / 60, B, g)
        z = torch.lerp(z, target("vsd", z, t, torch.randn(z.shape, generator=g), ask(), now(float(z.mean()))), 0.5)
    assert abs(float(z.mean()) - MEAN) < 0.15
    untrained = moved("vsd", lambda x_t, t: posterior(x_t, t, MEAN, STD))
    assert torch.equal(untrained, torch.full((B, *SHAPE), -1.0))


def test_a_score_of_the_wrong_sign_shows(monkeypatch):
    right = guidance.score_gap
    monkeypatch.setattr(guidance, "score_gap", lambda teacher, fake: -right(teacher, fake))
    z = torch.full((B, *SHAPE), -1.0)
    t, noise = torch.full((B,), 0.5), torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    assert float((target("vsd", z, t, noise, ask(), now(-1.0)) - z).mean()) < 0  # away from the mean


def test_an_inverted_walk_leads_back():
    z = MEAN + STD * torch.randn(B, *SHAPE, generator=torch.Generator().manual_seed(0))
    t = torch.full((B,), 0.7)
    x_t = inverted(z, t, ask())
    for share, then in ((1.0, 0.75), (0.75, 0.5), (0.5, 0.25), (0.25, 0.0)):
        x_t = ddim(VP(), x_t, posterior(x_t, t * share, MEAN, STD), t * share, t * then)
    alike = torch.corrcoef(torch.stack([x_t.flatten(), z.flatten()]))[0, 1]
    assert float(alike) > 0.95  # four steps lose of the size what they keep of the shape


def test_guidance_and_the_push_from_other_views_are_what_their_equation_says():
    class Three:
        """Empty, asked and other."""

        def null(self, n: int) -> None: ...

        def cond(self, *_: Any) -> None: ...

        def __call__(self, x_t: Tensor, t: Tensor, conds: list) -> list[Tensor]:
            return [torch.full_like(x_t, v) for v in (0.0, 1.0, 3.0)[: len(conds)]]

    three: Any = Three()
    x, t = torch.zeros(1, 1, 1, 1), torch.ones(1)
    assert float(Ask(three, [], [], 3.0, 0)(x, t)) == 3.0
    assert float(Ask(three, [], [], 3.0, 1)(x, t)) == 3.0 + guidance.VIEW_SCALE * (1.0 - 3.0)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Teacher:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(tiny.build_sd(tmp_path_factory.mktemp("studio"))))
        return Teacher(families.load(catalogue.get("tiny-sd")), "a red cube", backgrounds("a red cube"))


def test_rows_of_a_batch_are_asked_for_their_own_view_and_background(teacher):
    cameras, grounds = [Camera(0.0, 10.0), Camera(180.0, 10.0), Camera(0.0, 70.0)], teacher.grounds[:3]
    cond, turned = teacher.cond(cameras, grounds), teacher.cond(cameras, grounds, 1)
    texts = [f"a big plain red cube on a {g.name} background, {v} view" for g, v in
             zip(grounds, ("front", "back", "overhead"), strict=True)]  # fmt: skip
    alone = teacher.parts.text([*texts, "a big plain red cube on a green background, side view"])
    for row in range(3):
        n = int(alone.mask[row].sum())
        assert torch.allclose(cond.tokens[row, :n], alone.tokens[row, :n], atol=1e-5)
    assert not torch.equal(cond.tokens, turned.tokens)


def test_the_score_network_learns_renders_and_leaves_the_teacher_alone():
    """It shares the box's own teacher's weights: off, they are as they were, bit for bit."""
    net: UNetDenoiser = families.load(catalogue.get("toybox-sd")).denoiser
    z = torch.linspace(-1, 1, 4).reshape(4, 1, 1, 1).expand(4, 16, 8, 8)  # nothing that a teacher paints
    camera = numbers([Camera(90.0 * k, 9.0) for k in range(4)])
    cond = Cond(torch.zeros(4, 5, 384), torch.ones(4, 5, dtype=torch.bool), camera=camera)
    t = torch.full((4,), 0.6)
    x_t = add_noise(net.schedule, z, torch.randn(z.shape, generator=torch.Generator().manual_seed(2)), t)
    with torch.no_grad():
        before = net(x_t, t, cond)
    score = ScoreNetwork(net, draws(0, "score"))
    assert torch.equal(score(x_t, t, cond), before)
    for k in range(12):
        score.learn(z, cond, draws(0, k))
    learnt = score(x_t, t, cond)
    assert float((learnt - z).abs().mean()) < 0.97 * float((before - z).abs().mean())
    with torch.no_grad():
        assert torch.equal(net(x_t, t, cond), before)
    assert net.network.class_embedding is None
