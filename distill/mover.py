"""Players in the loop: their tensors, learning rates, optimisers and moving averages."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from distill.method import Player
from distill.settings import TrainConfig

Optimiser = Literal["adamw", "muon"]
BETAS = (0.9, 0.99)


def rate(cfg: TrainConfig, step: int) -> float:
    """The factor on a player's learning rate: linear warm-up, constant, linear decay."""
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
    buffers: dict[str, Tensor]  # the module's buffers, such as the vectors of a spectral norm
    optimisers: dict[str, torch.optim.Optimizer]
    flat: list[tuple[nn.Parameter, nn.Parameter]]  # (weight, the view of it that Muon trains)
    ema: dict[str, Tensor] | None

    def turn(self, step: int) -> bool:
        return self.start <= step < self.stop and step % self.every == self.phase

    @property
    def first(self) -> int:
        """The step of its first turn."""
        return self.start + (self.phase - self.start) % self.every

    def average(self, step: int) -> dict[str, Tensor] | None:
        """The weights that are shown and served at `step`: before its first turn the module's own weights, as other
        players may have trained them, then the moving average. None where the player has no average."""
        return self.ema if self.ema is None or step > self.first else {k: w.detach() for k, w in self.weights.items()}

    def begin(self) -> None:
        """Start the average at the module's weights, at the player's first turn."""
        for k, average in (self.ema or {}).items():
            average.copy_(self.weights[k].detach())

    def update(self, rate: float, keep: float) -> None:
        """One step of the optimisers, at `rate` times the player's lr; `keep` is the decay of the average."""
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
    """The mover of a player. With `muon`, matrices are trained by Muon at rates of AdamW's size (Liu et al. 2025, Eq.
    4), other weights by AdamW."""
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
    """Whether a weight is a matrix, or a filter of one pixel. These are most of a SANA's weights."""
    return w.ndim >= 2 and min(w.shape[:2]) > 1 and w.shape[2:].numel() == 1


def matrix(w: nn.Parameter) -> nn.Parameter:
    """The same memory as a parameter [out, in], the only shape that torch's Muon takes."""
    view = nn.Parameter(w.detach().flatten(1))
    assert view.data_ptr() == w.data_ptr(), "must be a view, as Muon would train a copy"
    return view
