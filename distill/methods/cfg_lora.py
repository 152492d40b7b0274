"""LoRA-enhanced guided distillation (Golnari 2023): two calls folded into one, with no second copy of the network.

    L = | student(x_t, t, c; adapter at (w - 1) / (W - 1)) - guided(x_t, t, c, w; adapter off) |^2

The teacher is the same network with its adapter off. It differs from the paper, which folds in one fixed guidance: here
the scale w is drawn for every batch and sets the adapter's strength. At w = 1 the adapter is off, which is exactly the
conditional model. Guidance is linear in w and, to first order, an adapter is linear in its strength. So the page's
slider still works, and diffusers serves it by `set_adapters(name, scale)`.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.fields import option
from distill import students
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Trained, network
from models import families
from models.adapt import add_lora, scaled, without
from models.denoiser import Cond, Denoiser, strength
from models.guidance import Turn, guided
from models.manifest import Guidance
from models.samplers import sample
from models.schedule import add_noise
from models.stepping import DdimSteps

ABOUT = "Guidance folded into a LoRA: one call a step where the teacher takes two."
BASES = ("sd", "sdxl")


@dataclass(frozen=True)
class Config:
    lr: float = option(5e-4, "Learning rate.", low=0, high=1)
    rank: int = option(16, "Rank of the LoRA.", low=1, high=1024)
    full: float = option(5.0, "Guidance at which the adapter has its full strength (W).", low=1.01, high=30)
    guidance: tuple[float, ...] = option(
        (1.0, 6.0), "Range from which training draws the guidance.", low=1, high=30, length=2, order="rising"
    )
    t_min: float = option(0.02, "The smallest time t that is trained.", low=0, high=0.99)
    preview_steps: int = option(16, "Denoising steps of the sample grids.", low=1)


def student(cfg: Config, base: Denoiser | None) -> Denoiser:
    return add_lora(students.taught(base), cfg.rank)


class Method:
    needs = {"latents"}

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.players = {"student": Player(world.student, cfg.lr, ema=True)}

    def teacher(self, x_t: Tensor, t: Tensor, cond: Cond, w: float) -> Tensor:
        """The guided x0 of the same network with its adapter off."""
        with torch.no_grad(), without(self.w.student):
            return guided(self.w.student, x_t, t, cond, self.w.null_like(cond), w)

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        cfg, net, (x0, cond) = self.cfg, self.w.student, batch.latents
        low, high = cfg.guidance
        w = low + (high - low) * rng.shared()
        t = cfg.t_min + (1 - cfg.t_min) * rng.rand(len(batch))
        x_t = add_noise(net.schedule, x0, rng.randn_like(x0), t)
        answer = self.teacher(x_t, t, cond, w)
        with scaled(net, strength(w, cfg.full)):
            loss = students.apart(net, x_t, t, cond, answer)
        return Out(loss.mean(), {"guidance": loss.new_tensor(w)})

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Samples of the batch's captions as they are served: guidance 3, one call for each step."""
        (x0, cond), net, steps = batch.latents, self.w.student, self.cfg.preview_steps
        noise = Rows(0, 0, len(x0), device=x0.device).randn_like(x0)
        with scaled(net, strength(3.0, self.cfg.full)):
            x = sample(DdimSteps(net.schedule, steps), noise, [Turn(net)] * steps, cond)
        return needed(self.w.show)(x)


def serve(made: Trained, home: Path) -> dict:
    """Write the LoRA. Its manifest says that guidance sets the adapter's strength, which is 1 at `full`."""
    facts, (low, high) = network(made, home), made.cfg.guidance
    facts["lora"] |= {"full": made.cfg.full}
    return (
        facts
        | families.family(facts["family"]).many_steps(home)
        | {"guidance": Guidance("embedded", min(max(3.0, low), high), (low, high))}
    )
