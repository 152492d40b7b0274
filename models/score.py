"""The direction of variational score distillation. Pure; distillers and text to 3D share it.

A score is (alpha x0 - x_t) / sigma^2, so a difference of scores at one x_t is one of x0, scaled: everything is in x0.
"""

from torch import Tensor

from models.schedule import like


def score_gap(x0_teacher: Tensor, x0_fake: Tensor) -> Tensor:
    """The direction in which gradient descent should move samples (ProlificDreamer, Wang et al. 2023, Eq. 9):
    eps_teacher - eps_fake, times sigma / alpha. It is zero where the samples' own score, `fake`, equals the
    teacher's."""
    return x0_fake.float() - x0_teacher.float()


def vsd_direction(x: Tensor, x0_teacher: Tensor, x0_fake: Tensor) -> Tensor:
    """`score_gap` of each sample (DMD, Yin et al. 2024, Eq. 7), divided by the sample's mean |x - teacher| (Eq. 8), so
    that one bad sample does not dominate the batch and all noise levels count equally.
    """
    size = (x.float() - x0_teacher.float()).abs().flatten(1).mean(1).clamp_min(1e-6)
    return score_gap(x0_teacher, x0_fake) / like(size, x)
