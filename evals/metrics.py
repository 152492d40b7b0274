"""Distances between sets of pictures, measured in features. Pure; inputs are arrays or tensors [N, D].

Every estimate depends on the number of pictures, so compare only figures of equal N (Fréchet most of all).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Features = Tensor | np.ndarray


def _double(x: Features, name: str) -> Tensor:
    x = torch.as_tensor(x).double()
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"{name} must be [N, D] with N of at least 2, not {list(x.shape)}")
    return x


def _pair(a: Features, b: Features) -> tuple[Tensor, Tensor]:
    a, b = _double(a, "the first set of features"), _double(b, "the second set of features")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features of {a.shape[1]} and of {b.shape[1]} dimensions cannot be compared")
    return a, b


def frechet(a: Features, b: Features) -> float:
    """Squared Fréchet distance of two Gaussians fitted to a and b (Heusel et al. 2017, Eq. 6).

        |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))

    With C = X^T X of centred, scaled rows, tr (C_a C_b)^(1/2) is the sum of the singular values of X_a X_b^T:
    no matrix root, nothing imaginary to discard.
    """
    a, b = _pair(a, b)
    mean_a, mean_b = a.mean(0), b.mean(0)
    x_a, x_b = (a - mean_a) / (len(a) - 1) ** 0.5, (b - mean_b) / (len(b) - 1) ** 0.5
    # R of a QR decomposition has the same C and at most D rows
    root_a, root_b = torch.linalg.qr(x_a, mode="r").R, torch.linalg.qr(x_b, mode="r").R
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    value = (mean_a - mean_b).square().sum() + x_a.square().sum() + x_b.square().sum() - 2 * cross
    return max(float(value), 0.0)


def kernel_distance(a: Features, b: Features) -> float:
    """Squared maximum mean discrepancy, unbiased, kernel (x.y / D + 1)^3 (Bińkowski et al. 2018, Eq. 4).

    Unbiased means that it is near zero, on either side of it, when both sets come from one distribution.
    """
    a, b = _pair(a, b)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> Tensor:
        k = kernel(x, x)
        return (k.sum() - k.diagonal().sum()) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * kernel(a, b).mean())


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance of each row to its k-th nearest other row, [N]."""
    if len(x) <= k:
        raise ValueError(f"{k} neighbours need more than {k} pictures, not {len(x)}")
    return torch.cdist(x, x).kthvalue(k + 1, dim=1).values  # the nearest is the row itself


@dataclass(frozen=True)
class Support:
    precision: float
    recall: float
    density: float
    coverage: float


def support(real: Features, generated: Features, k: int = 5) -> Support:
    """The overlap of two sets, by neighbourhoods.

    Precision and recall of Kynkäänniemi et al. 2019 (Eq. 1, 2): the share of generated pictures inside some
    ball that reaches from a real picture to its k-th neighbour, and the reverse. Density and coverage of
    Naeem et al. 2020 (Eq. 3, 4): with real balls only, which outliers cannot inflate; density may exceed one.
    """
    real, generated = _pair(real, generated)
    distance = torch.cdist(real, generated)  # [real, generated]
    radius, radius_generated = _radii(real, k), _radii(generated, k)
    inside = distance <= radius[:, None]
    return Support(
        precision=float(inside.any(0).double().mean()),
        recall=float((distance <= radius_generated[None]).any(1).double().mean()),
        density=float(inside.double().sum(0).mean() / k),
        coverage=float(inside.any(1).double().mean()),
    )


def vendi(features: Features) -> float:
    """Effective number of different pictures, from 1 to N (Friedman & Dieng 2023, Eq. 3), cosine similarity.

    exp(-sum l log l),    l: eigenvalues of X X^T / N, rows of X of unit length
    """
    x = torch.nn.functional.normalize(_double(features, "features"), dim=1)
    # X X^T and X^T X share their eigenvalues; the smaller is cheaper
    values = torch.linalg.svdvals(x).square() / len(x)
    values = values[values > 1e-12]
    return float((-(values * values.log()).sum()).exp())


def nearest(queries: Features, references: Features, chunk: int = 1024) -> tuple[Tensor, Tensor]:
    """The distance of each query to its nearest reference, and the index of that one: [N] float64, [N] int64."""
    queries, references = _pair(queries, references)
    rows = [torch.cdist(q, references).min(1) for q in queries.split(chunk)]
    return torch.cat([r.values for r in rows]), torch.cat([r.indices for r in rows])


def psnr(a: Tensor, b: Tensor, peak: float) -> Tensor:
    """Peak signal to noise ratio of each picture, [B], in dB; `peak` is the largest difference possible."""
    mse = (a.double() - b.double()).square().flatten(1).mean(1)
    return 10 * (peak**2 / mse).log10()


def sliced_wasserstein(a: Features, b: Features, num: int = 64, seed: int = 0) -> float:
    """Mean 1-D Wasserstein-1 distance of projections onto `num` random directions (Rabin et al. 2011).

    In one dimension that is the area between the two quantile functions, so the sets may differ in size.
    """
    a, b = _pair(a, b)
    directions = torch.randn(a.shape[1], num, generator=torch.Generator().manual_seed(seed), dtype=a.dtype)
    directions = directions / directions.norm(dim=0)
    sorted_a, sorted_b = (a @ directions).sort(0).values, (b @ directions).sort(0).values
    steps_a = torch.arange(1, len(a) + 1, dtype=a.dtype) / len(a)  # where the quantile functions jump
    steps_b = torch.arange(1, len(b) + 1, dtype=a.dtype) / len(b)
    ends = torch.cat([steps_a, steps_b]).sort().values
    widths = ends.diff(prepend=ends.new_zeros(1))
    middles = ends - widths / 2
    at_a = torch.searchsorted(steps_a, middles).clamp_max(len(a) - 1)
    at_b = torch.searchsorted(steps_b, middles).clamp_max(len(b) - 1)
    return float((widths[:, None] * (sorted_a[at_a] - sorted_b[at_b]).abs()).sum(0).mean())
