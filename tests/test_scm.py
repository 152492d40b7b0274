"""SANA-Sprint's parts, one by one, and that they learn."""

import copy
from dataclasses import replace
from math import pi

import pytest
import torch

from distill.method import Batch, Rows, World
from distill.methods import scm_ladd, sft
from models.denoiser import Cond, TrigFlow
from models.families.sana import SanaDenoiser

SETTINGS = {"guidance": "1,1", "lr": "1e-3", "heads_lr": "2e-3", "warmup": "100"}


@pytest.fixture(scope="module")
def teacher() -> SanaDenoiser:
    """A small SANA whose weights are not the ones that it starts with (some of those are zero)."""
    torch.manual_seed(0)
    net = sft.new(sft.Config(layers=2, width=64), "sana")
    for p in net.parameters():
        p.data += 0.03 * torch.randn_like(p)
    return net.requires_grad_(False)


def prompts(n: int, guidance: float | None = None) -> Cond:
    rng = torch.Generator().manual_seed(1)
    mask = torch.arange(6) < torch.tensor([6, 4, 5, 3] * n)[:n, None]
    w = None if guidance is None else torch.full((n,), guidance)
    return Cond(torch.randn(n, 6, 384, generator=rng), mask, guidance=w)


@pytest.mark.parametrize("w", [1.0, 4.5])
def test_the_student_starts_as_its_teacher(teacher, w):
    x, t = torch.randn(4, 16, 8, 8), torch.tensor([0.1, 0.4, 0.7, 1.0])
    student = teacher.with_guidance()
    assert torch.equal(student(x, t, prompts(4, w)), teacher(x, t, prompts(4)))


def test_jvp_is_the_derivative(teacher):
    """Forward-mode AD through the whole network, time embedding and guidance included, against central differences."""
    student = TrigFlow(teacher.with_guidance())
    x, dx, t = torch.randn(3, 16, 8, 8), torch.randn(3, 16, 8, 8), torch.tensor([0.2, 0.5, 0.8])
    f = lambda a, b: student.predict(a, b, prompts(3, 3.0))  # noqa: E731
    exact = scm_ladd.derivative(f, x, t, dx, "jvp")
    close = scm_ladd.derivative(f, x, t, dx, "difference")
    assert (exact - close).norm() / exact.norm() < 2e-3
    half = scm_ladd.derivative(f, x, t, 0.5 * dx, "jvp")  # the time part must not vanish: it is not linear in dx alone
    assert (exact - 2 * half).norm() / exact.norm() > 1e-2


@pytest.mark.gpu
def test_differences_are_exact_on_a_gpu(teacher):
    """In bf16, or in TF32 as cuDNN would convolve, a step of 2e-3 is lost."""
    student, cond = TrigFlow(teacher.with_guidance()), prompts(3, 3.0)
    x, dx, t = torch.randn(3, 16, 8, 8), torch.randn(3, 16, 8, 8), torch.tensor([0.2, 0.5, 0.8])
    there, cond_there = copy.deepcopy(student).cuda(), cond.map(lambda v: v.cuda())

    def difference() -> torch.Tensor:
        f = lambda a, b: there.predict(a, b, cond_there)  # noqa: E731
        return scm_ladd.derivative(f, x.cuda(), t.cuda(), dx.cuda(), "difference").cpu()

    true = scm_ladd.derivative(lambda a, b: student.predict(a, b, cond), x, t, dx, "jvp")
    with torch.autocast("cuda", torch.bfloat16):
        assert (difference() - true).norm() > 0.1 * true.norm(), "nothing to guard against"
        with scm_ladd.exact(torch.device("cuda")):
            assert (difference() - true).norm() < 0.01 * true.norm()


def test_tangent_is_the_derivative_of_the_consistency_function():
    """Where the student is the teacher and r = 1, g = cos(theta) d f / d theta along the path (Alg. 2)."""
    F = lambda x, th: torch.sin(x) * th.cos() + th**2  # noqa: E731
    x, th = torch.randn(5, 1, dtype=torch.double), torch.linspace(0.1, 1.4, 5, dtype=torch.double)[:, None]
    f = lambda x, th: th.cos() * x - th.sin() * F(x, th)  # noqa: E731
    dx, h = F(x, th), 1e-6
    df = (f(x + h * dx, th + h) - f(x - h * dx, th - h)) / (2 * h)
    dF = (F(x + h * dx, th + h) - F(x - h * dx, th - h)) / (2 * h)
    g = scm_ladd.tangent(F(x, th), dF, x, dx, th[:, 0] * 2 / pi, r=1.0)
    assert torch.allclose(g, th.cos() * df, atol=1e-7)
    assert torch.equal(scm_ladd.tangent(F(x, th), dF, x, dx, th[:, 0] * 2 / pi, r=0.0), torch.zeros_like(x))


def test_normalised_tangents_ignore_the_size_of_a_latent():
    g = torch.randn(3, 16, 8, 8)
    whole, part = scm_ladd.normalise(g, 0.1), scm_ladd.normalise(g[:, :4], 0.1)
    assert torch.allclose(whole.square().mean(), part.square().mean(), rtol=0.1)
    assert scm_ladd.normalise(torch.zeros_like(g), 0.1).abs().max() == 0


def test_times_follow_the_papers_law_and_stay_off_pure_noise():
    t = scm_ladd.sample_t(Rows(0, 0, 20000), 20000, 0.2, 1.6)
    tau = ((t.double() * pi / 2).tan() * scm_ladd.SIGMA_DATA).log()
    assert abs(tau.median() - 0.2) < 0.05 and (t * pi / 2).max() <= pi / 2 - 0.9e-4
    quartiles = torch.quantile(tau, torch.tensor([0.25, 0.75], dtype=torch.double))
    assert torch.allclose(quartiles, torch.tensor([0.2 - 0.6745 * 1.6, 0.2 + 0.6745 * 1.6]).double(), atol=0.06)


def method(teacher, **changes) -> scm_ladd.Method:
    from distill import features

    null = Cond(torch.randn(1, 2, 384), torch.ones(1, 2, dtype=torch.bool))
    cfg = replace(scm_ladd.Config(blocks=(0, 1)), **changes)
    student = scm_ladd.student(cfg, teacher).requires_grad_(True)
    return scm_ladd.Method(World(student, teacher, null, features=lambda b: features.of(teacher, b)), cfg)


def test_the_largest_time_is_pure_noise_for_its_share(teacher):
    m = method(teacher)
    seen = []
    m.w.student.forward = lambda x, t, cond: seen.append((x, t)) or x
    batch = Batch(0, x0=1e6 * torch.ones(400, 16, 8, 8), cond=prompts(400))
    m.one_step(batch, prompts(400, 3.0), Rows(0, 0, 400))
    x, t = seen[0]
    assert 0.4 < (t == 1).float().mean() < 0.6
    assert x[t == 1].abs().max() < 10, "data shows through where there should be noise alone"
    del m.w.student.forward


def test_the_heads_meet_pictures_from_pure_noise_too(teacher):
    """The share of pure noise is the same in their turns as in the student's."""
    m, seen = method(teacher), []
    m.w.student.forward = lambda x, t, cond: seen.append((x, t)) or x
    batch = Batch(1, x0=1e6 * torch.ones(80, 16, 8, 8), cond=prompts(80))
    m.loss("heads", batch, Rows(0, 1, 80))
    ((x, t),) = seen
    assert 0.35 < (t == 1).float().mean() < 0.65 and x[t == 1].abs().max() < 10
    del m.w.student.forward


def test_the_guidance_embedder_learns(teacher):
    """Both layers at zero would never move; ours starts without effect and has a gradient after one step."""
    m = method(teacher, lr=1e-2)
    embedder = m.w.student.network.time_embed.guidance_embedder
    batch, optimizer = Batch(400, x0=torch.randn(8, 16, 8, 8), cond=prompts(8)), None
    optimizer = torch.optim.SGD(m.w.student.parameters(), lr=1.0)
    for step in range(2):
        optimizer.zero_grad()
        m.loss("student", batch, Rows(0, step, 8)).loss.backward()
        if step == 0:
            assert embedder.linear_2.weight.grad.abs().max() > 0
            optimizer.step()
    assert embedder.linear_1.weight.grad.abs().max() > 0


def test_neighbours_are_exchanged_whoever_holds_them():
    x = torch.arange(8.0)
    assert scm_ladd.swap(x).tolist() == [1, 0, 3, 2, 5, 4, 7, 6]
    assert torch.equal(scm_ladd.swap(x), torch.cat([scm_ladd.swap(x[:4]), scm_ladd.swap(x[4:])]))
    assert scm_ladd.swap(x[:3]).tolist() == [1, 0, 0], "nobody meets the own caption"


def test_the_teacher_stays_as_it_is(teacher):
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    m = method(teacher)
    batch = Batch(10, x0=torch.randn(8, 16, 8, 8), cond=prompts(8))
    for player, module in (("student", m.w.student), ("heads", m.heads)):
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        m.loss(player, batch, Rows(0, 0, 8)).loss.backward()
        optimizer.step()
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())
