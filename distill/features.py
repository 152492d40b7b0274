"""Frozen features of a teacher's network, for discriminators: the outputs of its blocks for x_t at time t."""

import torch
from torch import Tensor, nn

from models.denoiser import Cond, Denoiser, Features
from models.families.toy2d import Mixture, ToyDenoiser, labels


class Hooked:
    """The outputs of chosen modules of the denoiser's network, as tokens [B, N, C]. Gradients flow to x_t."""

    def __init__(self, denoiser: Denoiser, seen: Features):
        self.denoiser, self.schedule = denoiser, denoiser.schedule
        self.modules, self.channels, self.kernel = seen.modules, seen.channels, seen.kernel

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> list[Tensor]:
        outputs: list[Tensor] = []

        def keep(module: nn.Module, args: tuple, out: Tensor) -> None:
            outputs.append(out)

        hooks = [m.register_forward_hook(keep) for m in self.modules]
        try:
            self.denoiser.predict(x_t, t, cond)
        finally:
            for h in hooks:
                h.remove()
        return [tokens(f) for f in outputs]


def tokens(x: Tensor) -> Tensor:
    """Maps [B, C, h, w], tokens [B, N, C] or vectors [B, C] as tokens."""
    return x.flatten(2).transpose(1, 2) if x.ndim == 4 else x if x.ndim == 3 else x[:, None]


def of(denoiser: Denoiser, blocks: tuple[int, ...]) -> Hooked:
    """Features of a SANA's transformer blocks, a UNet's ends and middle, or the toy's two hidden layers."""
    return Hooked(denoiser, denoiser.features(blocks))


def pretrained_toy(net: ToyDenoiser, teacher: Mixture, steps: int = 400) -> ToyDenoiser:
    """The net after a short regression on the exact teacher of the 2-D mixture, from which distillers start."""
    k = len(teacher.means)
    rng = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for _ in range(steps):
        index = torch.randint(-1, k, (256,), generator=rng)
        cond = labels(index, k)
        t = torch.rand(256, generator=rng).clamp(1e-3, 1)
        x0, eps = teacher.sample(cond, rng), torch.randn(256, 2, generator=rng)
        x_t = (1 - t)[:, None] * x0 + t[:, None] * eps
        loss = (net.predict(x_t, t, cond) - teacher.predict(x_t, t, cond)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return net
