"""A discriminator in the teacher's features: diffusion GAN (LADD, Sauer et al. 2024; DMD2, Sec. 4.3), hinge loss.

Pictures are noised before the discriminator sees them, so that the two sides overlap. Text and noise level reach the
heads through the frozen teacher's features.
"""

from torch import Tensor, nn

from distill.heads import Heads
from distill.losses import hinge_fake, hinge_real
from distill.method import Features, Rows
from models.denoiser import Cond
from models.schedule import add_noise

T_MIN, T_MAX = 0.02, 0.98


class Adversary(nn.Module):
    """Heads on the features of a frozen teacher. Its parameters are those of the heads alone."""

    def __init__(self, features: Features):
        super().__init__()
        self.heads, self._features = Heads(features.channels, features.kernel), (features,)

    def logits(self, x0: Tensor, cond: Cond, rng: Rows, t: Tensor) -> Tensor:
        """Logits [B, N] for x0 noised to t [B]."""
        features = self._features[0]
        return self.heads(features(add_noise(features.schedule, x0, rng.randn_like(x0), t), t, cond))

    def fool(self, x0: Tensor, cond: Cond, rng: Rows) -> Tensor:
        """The generator's loss, [B]."""
        t = T_MIN + (T_MAX - T_MIN) * rng.rand(len(x0))
        return -self.logits(x0, cond, rng, t).flatten(1).mean(1)

    def tell(self, real: Tensor, fake: Tensor, cond: Cond, rng: Rows) -> tuple[Tensor, Tensor]:
        """The heads' loss, [B], and the share that they classify rightly. Both sides get the same noise level."""
        t = T_MIN + (T_MAX - T_MIN) * rng.rand(len(real))
        yes, no = self.logits(real, cond, rng, t), self.logits(fake.detach(), cond, rng, t)
        right = ((yes > 0).float().mean() + (no < 0).float().mean()) / 2
        return (hinge_real(yes) + hinge_fake(no)) / 2, right
