"""The renders' own score for VSD: a LoRA on the teacher's network, with the camera as an input.

    L = | eps(x_t, t, prompt, camera; LoRA) - eps |^2 on the renders of this round      (ProlificDreamer, Eq. 10)

With the adapter off, the network is the teacher, bit for bit. The score starts as the teacher: with its camera where
it has one, else with one that has no effect yet.
"""

import contextlib
import copy
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.adapt import add_lora
from models.camera import new_embedding
from models.denoiser import Cond
from models.families.sd import UNetDenoiser
from models.lora import layers
from models.schedule import add_noise, from_x0

RANK, RATE = 4, 1e-3
HIDDEN = 0.1  # share of samples that train without their camera


class ScoreNetwork:
    """A network that shares the teacher's weights; its own adapter is on only within its calls."""

    def __init__(self, teacher: UNetDenoiser, generator: torch.Generator, bf16: bool = False):
        self.bf16, network = bf16, teacher.network
        self.denoiser = type(teacher)(network, teacher.dtype)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            add_lora(self.denoiser, RANK)
            self.camera = self.denoiser.camera = copy.deepcopy(teacher.camera) or new_embedding(network)
        self.layers = layers(network)
        self.lora = {k: w for k, w in network.named_parameters() if "lora_" in k}
        self.adam = torch.optim.AdamW(self.weights().values(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01)
        self._off()

    def weights(self) -> dict[str, nn.Parameter]:
        return self.lora | {f"camera.{k}": w for k, w in self.camera.named_parameters()}

    def _off(self) -> None:
        for layer in self.layers:
            layer.enable_adapters(False)

    @contextlib.contextmanager
    def _on(self) -> Iterator[None]:
        for layer in self.layers:
            layer.enable_adapters(True)
        for w in self.weights().values():
            w.requires_grad_(True)
        try:
            with torch.autocast(next(self.camera.parameters()).device.type, torch.bfloat16, enabled=self.bf16):
                yield
        finally:
            self._off()

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        with self._on():
            return self.denoiser(x_t, t, cond).float()

    def learn(self, z: Tensor, cond: Cond, generator: torch.Generator) -> float:
        """One training step on latents of renders, with t not annealed. Returns the loss."""
        assert cond.camera is not None, "the score needs the camera"
        t = 0.001 + 0.999 * torch.rand(len(z), generator=generator)
        noise = torch.randn(z.shape, generator=generator)
        hidden = torch.rand(len(z), generator=generator) < HIDDEN
        shown = Cond(cond.tokens, cond.mask, camera=cond.camera.masked_fill(hidden[:, None], 0))
        x_t, net = add_noise(self.denoiser.schedule, z, noise, t), self.denoiser
        with torch.enable_grad(), self._on():
            loss = F.mse_loss(net.predict(x_t, t, shown).float(), from_x0(net.prediction, net.schedule, x_t, z, t))
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return float(loss.detach())
