"""A discriminator in the teacher's features: diffusion GAN (LADD, Sauer et al. 2024; DMD2, Sec. 4.3), hinge loss.

Pictures are noised before they are judged, so the two sides overlap; the frozen teacher's features see text and noise.
"""

from torch import Tensor, nn

from distill.heads import Heads
from distill.losses import hinge_fake, hinge_real
from distill.method import Features, Rows
from models.denoiser import Cond
from models.schedule import add_noise

T_MIN, T_MAX = 0.02, 0.98


class Adversary(nn.Module):
    """Its parameters are those of the heads: the features belong to the frozen teacher."""

    def __init__(self, features: Features):
        super().__init__()
        self.heads, self._features = Heads(features.channels, features.kernel), (features,)

    def logits(self, x0: Tensor, cond: Cond, rng: Rows, t: Tensor) -> Tensor:
        """[B, N] for x0 noised to t [B]."""
        features = self._features[0]
        return self.heads(features(add_noise(features.schedule, x0, rng.randn_like(x0), t), t, cond))

    def fool(self, x0: Tensor, cond: Cond, rng: Rows) -> Tensor:
        """What the generator minimises, [B]."""
        t = T_MIN + (T_MAX - T_MIN) * rng.rand(len(x0))
        return -self.logits(x0, cond, rng, t).flatten(1).mean(1)

    def tell(self, real: Tensor, fake: Tensor, cond: Cond, rng: Rows) -> tuple[Tensor, Tensor]:
        """What the heads minimise, [B], and how often they are right. Both sides get the same noise level."""
        t = T_MIN + (T_MAX - T_MIN) * rng.rand(len(real))
        yes, no = self.logits(real, cond, rng, t), self.logits(fake.detach(), cond, rng, t)
        right = ((yes > 0).float().mean() + (no < 0).float().mean()) / 2
        return (hinge_real(yes) + hinge_fake(no)) / 2, right
