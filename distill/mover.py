"""A player as the loop moves it: the tensors it may change, at what rate, their optimisers, their moving average."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from distill.method import Player
from distill.settings import TrainConfig

Optimiser = Literal["adamw", "muon"]
BETAS = (0.9, 0.99)


def rate(cfg: TrainConfig, step: int) -> float:
    """Warm-up, constant, linear decay; the factor on a player's learning rate."""
    falling = max(1, round(cfg.steps * cfg.decay))
    return min(1.0, (step + 1) / max(1, cfg.warmup), max(0, cfg.steps - step) / falling)


def ema_rate(cfg: TrainConfig, step: int) -> float:
    return min(cfg.ema, (1 + step) / (10 + step))


@dataclass
class Mover:
    name: str
    every: int
    phase: int
    start: int
    stop: int
    lr: float
    weights: dict[str, nn.Parameter]
    buffers: dict[str, Tensor]  # what its module remembers beside, such as the vectors of a spectral norm
    optimisers: dict[str, torch.optim.Optimizer]
    flat: list[tuple[nn.Parameter, nn.Parameter]]  # (weight, what Muon knows it as)
    ema: dict[str, Tensor] | None

    def turn(self, step: int) -> bool:
        return self.start <= step < self.stop and step % self.every == self.phase

    @property
    def first(self) -> int:
        """The step of its first turn."""
        return self.start + (self.phase - self.start) % self.every

    def average(self, step: int) -> dict[str, Tensor] | None:
        """What is shown and served at `step`: until its first turn, what other players made of the module."""
        return self.ema if self.ema is None or step > self.first else {k: w.detach() for k, w in self.weights.items()}

    def begin(self) -> None:
        """The average starts where the module stands at the player's first turn."""
        for k, average in (self.ema or {}).items():
            average.copy_(self.weights[k].detach())

    def update(self, rate: float, keep: float) -> None:
        """One step along the gradients, at `rate` times the player's lr; the average keeps `keep` of itself."""
        for w, view in self.flat:
            view.grad = None if w.grad is None else w.grad.flatten(1)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = self.lr * rate
            optimiser.step()
        if self.ema is not None:
            with torch.no_grad():
                torch._foreach_lerp_(list(self.ema.values()), list(self.weights.values()), 1 - keep)

    def forget_gradients(self) -> None:
        for w in (*self.weights.values(), *(view for _, view in self.flat)):
            w.grad = None


def moves(name: str, p: Player, weight_decay: float, optimiser: Optimiser) -> Mover:
    """muon: matrices by Muon at rates of AdamW's size (Liu et al. 2025, Eq. 4), the rest by AdamW."""
    weights = {k: w for k, w in p.module.named_parameters() if w.requires_grad}
    buffers = {k: v for k, v in p.module.state_dict(keep_vars=True).items() if not isinstance(v, nn.Parameter)}
    flat = [(w, matrix(w)) for w in weights.values() if is_matrix(w)] if optimiser == "muon" else []
    theirs = {id(w) for w, _ in flat}
    rest = [w for w in weights.values() if id(w) not in theirs]
    groups = [
        {"params": [w for w in rest if w.ndim > 1], "weight_decay": weight_decay},
        {"params": [w for w in rest if w.ndim <= 1], "weight_decay": 0.0},
    ]
    optimisers: dict[str, torch.optim.Optimizer] = {"adamw": torch.optim.AdamW(groups, lr=p.lr, betas=BETAS)}
    if flat:
        views = [view for _, view in flat]
        options = {"weight_decay": weight_decay, "adjust_lr_fn": "match_rms_adamw"}
        optimisers["muon"] = torch.optim.Muon(views, lr=p.lr, **options)
    ema = {k: w.detach().clone() for k, w in weights.items()} if p.ema else None
    return Mover(name, p.every, p.phase, p.start, p.stop, p.lr, weights, buffers, optimisers, flat, ema)


def is_matrix(w: Tensor) -> bool:
    """A linear map of one place: matrices, and filters of one pixel, which hold most of a SANA's weights."""
    return w.ndim >= 2 and min(w.shape[:2]) > 1 and w.shape[2:].numel() == 1


def matrix(w: nn.Parameter) -> nn.Parameter:
    """The same memory as [out, in], since torch's Muon takes nothing else."""
    view = nn.Parameter(w.detach().flatten(1))
    assert view.data_ptr() == w.data_ptr(), "a view, or Muon would move a copy"
    return view
