"""Metrics give the values that are known in closed form, and keep the symmetries they must have."""

import numpy as np
import pytest
import torch

from evals.metrics import (
    frechet,
    kernel_distance,
    nearest,
    psnr,
    sliced_wasserstein,
    support,
    vendi,
)


def gaussian(n: int, mean: torch.Tensor, root: torch.Tensor, seed: int) -> torch.Tensor:
    """N rows whose mean and covariance are exactly `mean` and root^T root."""
    x = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1))).T
    return mean + white @ root


def rotation(d: int) -> torch.Tensor:
    x = torch.randn(d, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return torch.linalg.qr(x).Q


def test_frechet_of_gaussians_is_the_closed_form():
    scale_a, scale_b = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([3.0, 1.0, 0.5]).double()
    shift = torch.tensor([1.0, -2.0, 0.0]).double()
    a = gaussian(50, torch.zeros(3).double(), scale_a.diag(), 0)
    b = gaussian(70, shift, scale_b.diag(), 1)
    assert frechet(a, b) == pytest.approx(10)  # (1 + 4) of the means, (4 + 1) of the deviations
    turn = rotation(3)
    assert frechet(a @ turn, b @ turn) == pytest.approx(10)
    assert frechet(b.numpy(), a.numpy()) == pytest.approx(10)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_of_covariances_that_do_not_commute():
    """Against the matrix root computed the direct way."""
    root_a = rotation(4) * torch.tensor([1, 2, 3, 4.0]).double()
    root_b = torch.tensor([2, 1, 0.5, 3.0]).double().diag()
    zero = torch.zeros(4).double()
    a, b = gaussian(40, zero, root_a, 0), gaussian(40, zero, root_b, 1)
    c_a, c_b = root_a.T @ root_a, root_b.T @ root_b
    trace = torch.linalg.eigvals(c_a @ c_b).real.sqrt().sum()
    assert frechet(a, b) == pytest.approx(float(c_a.trace() + c_b.trace() - 2 * trace))


def test_frechet_survives_fewer_pictures_than_dimensions():
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x + 1) == pytest.approx(64)


def test_kernel_distance_is_unbiased_and_matches_a_hand_count():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
    # within a: k(0,1) = 1; within b: k(1,2) = 27; across: k(0,1), k(0,2), k(1,1), k(1,2) = 1, 1, 8, 27
    assert kernel_distance(a, b) == pytest.approx(1 + 27 - 2 * 37 / 4)
    rng = torch.Generator().manual_seed(0)
    same = [kernel_distance(*pair) for pair in torch.randn(200, 2, 30, 4, generator=rng)]
    assert min(same) < 0 < max(same)
    assert abs(np.mean(same)) < 3 * np.std(same) / 200**0.5


def test_support_of_two_clusters():
    rng = torch.Generator().manual_seed(0)
    left, right = torch.randn(200, 2, generator=rng), torch.randn(200, 2, generator=rng) + 100
    everything = torch.cat([left, right])
    again = torch.randn(200, 2, generator=rng)
    lost = support(everything, again)  # generated pictures are good, half of the real ones are never made
    assert lost.precision > 0.9 and 0.4 < lost.recall < 0.5 and lost.coverage < 0.5
    wrong = support(again, everything)  # half of what is generated is nonsense
    assert wrong.recall > 0.9 and 0.4 < wrong.precision < 0.52 and 0.4 < wrong.density < 0.6
    moved = support(everything, again * 3 + 5)
    assert moved == support(everything * 2 - 1, (again * 3 + 5) * 2 - 1)  # scale and shift mean nothing
    twin = support(left, left)
    assert twin.precision == twin.recall == twin.coverage == 1
    with pytest.raises(ValueError, match="5 neighbours need more than 5 pictures, not 5"):
        support(left[:5], left[:5])


def test_support_uses_the_kth_neighbour():
    """Real pictures at 0, 1, 3, 6 on a line: with k = 1 the balls have radii 1, 1, 2, 3."""
    real = torch.tensor([[0.0], [1.0], [3.0], [6.0]])
    covered = support(real, torch.tensor([[8.5], [9.5]]), k=1)
    assert (covered.precision, covered.density, covered.coverage) == (0.5, 0.5, 0.25)
    assert support(real, torch.tensor([[10.5], [6.5]]), k=1).recall == 0.5  # balls of radius 4 reach 3 and 6


def test_vendi_counts_what_differs():
    assert vendi(torch.eye(7)) == pytest.approx(7)
    assert vendi(torch.ones(9, 4)) == pytest.approx(1)
    twice = torch.eye(5).repeat(2, 1)
    assert vendi(twice) == pytest.approx(5)
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert vendi(x * torch.arange(1, 17)[:, None] @ rotation(6)) == pytest.approx(vendi(x))  # lengths do not count
    p = torch.tensor([0.75, 0.25])  # three of one kind and one of another: exp of their entropy
    assert vendi(torch.eye(2)[[0, 0, 0, 1]]) == pytest.approx(float((-(p * p.log()).sum()).exp()))


def test_nearest_finds_the_row_itself_in_any_chunking():
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    distance, index = nearest(x[10:20] + 1e-3, x, chunk=3)
    assert index.tolist() == list(range(10, 20))
    assert torch.allclose(distance, torch.full((10,), 1e-3 * 8**0.5, dtype=torch.float64), rtol=1e-3)


def test_psnr_is_in_decibels_per_picture():
    a = torch.zeros(2, 3, 4, 4)
    b = torch.stack([torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), 0.02)])
    assert psnr(a, b, peak=2).tolist() == pytest.approx([20, 40])


def test_sliced_wasserstein_of_a_shift_and_of_unequal_sets():
    rng = torch.Generator().manual_seed(0)
    line = torch.randn(100, 1, generator=rng)
    assert sliced_wasserstein(line, line + 0.7) == pytest.approx(0.7, rel=1e-5)
    assert sliced_wasserstein(line, line.repeat(3, 1)) == pytest.approx(0, abs=1e-6)
    flat = torch.randn(500, 2, generator=rng)
    moved = sliced_wasserstein(flat, flat + torch.tensor([3.0, 0.0]), num=2000)
    assert moved == pytest.approx(3 * 2 / np.pi, rel=0.03)  # mean |cos| over the circle
    assert sliced_wasserstein(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [0.0], [1.0]])) == pytest.approx(1 / 6)


def test_unequal_features_are_one_clear_error():
    with pytest.raises(ValueError, match="features of 3 and of 4 dimensions"):
        frechet(torch.zeros(5, 3), torch.zeros(5, 4))
    with pytest.raises(ValueError, match="at least 2"):
        vendi(torch.zeros(1, 3))
