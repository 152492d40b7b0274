"""Classifier-free guidance, and whose turn it is to denoise a step. Pure; pictures, distillers and text to 3D share it.

Guidance belongs to the turn, not to the run: a base that takes a step in its student's run is guided as the base is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.denoiser import AnswersX0, Cond, cat, on_schedule
from models.schedule import Schedule, like

Answers = Callable[[Tensor, Tensor, Cond], Tensor]  # (x_t, t, cond) -> x0, or whatever a network predicts


def guided(net: Answers, x_t: Tensor, t: Tensor, cond: Cond, null: Cond, scale: Tensor | float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022, Eq. 6), both halves in one call; [B, ...] in fp32.

    scale: [B] or one number; 1 is the conditional model, and then the empty prompt `null` [B, ...] is not asked.
    Linear in the answer, so it is the same for x0 and for what a network predicts.
    """
    if isinstance(scale, float | int) and scale == 1:
        return net(x_t, t, cond).float()
    both = cat(replace(null, guidance=None), replace(cond, guidance=None))
    empty, conditional = net(torch.cat([x_t, x_t]), t.repeat(2), both).float().chunk(2)
    w = torch.as_tensor(scale, device=x_t.device).expand(len(x_t)).float()
    return torch.lerp(empty, conditional, like(w, x_t))  # exactly the conditional answer where the scale is 1


@dataclass(frozen=True)
class Turn:
    """The network that denoises a step, and its guidance scale.

    The scale is an input of the network where it takes one, else that of classifier-free guidance. None is neither; a
    network that takes one is then told what `cond` says.
    """

    net: AnswersX0
    w: float | Tensor | None = None
    painter: str = ""  # id of the model
    prompt: Callable[[Cond, Tensor], Cond] | None = None  # what it is asked at times t [B], where that changes with t
    after: tuple[Callable[[Tensor], Tensor], ...] = ()  # what becomes of its answer x0, one after the other

    @property
    def needs_null(self) -> bool:
        """Whether the empty prompt is asked too."""
        if self.w is None or getattr(self.net, "takes_guidance", False):
            return False
        return isinstance(self.w, Tensor) or self.w > 1

    @property
    def calls(self) -> int:
        """Of the network, for one step."""
        return 2 if self.needs_null else 1

    def x0(self, schedule: Schedule, x_t: Tensor, t: Tensor, cond: Cond, null: Cond | None) -> Tensor:
        """[B, ...] in fp32, for samples x_t of this schedule at times t [B]."""
        answer = self._answer(schedule, x_t, t, cond, null)
        for change in self.after:
            answer = change(answer)
        return answer

    def _answer(self, schedule: Schedule, x_t: Tensor, t: Tensor, cond: Cond, null: Cond | None) -> Tensor:
        net = on_schedule(self.net, schedule)
        if self.prompt is not None:
            cond = self.prompt(cond, t)
        if self.needs_null:
            assert null is not None and self.w is not None, "whoever walks has looked at `needs_null`"
            return guided(net, x_t, t, cond, null, self.w)
        if self.w is not None and getattr(self.net, "takes_guidance", False):
            w = self.w if isinstance(self.w, Tensor) else torch.full_like(t, self.w)
            cond = replace(cond, guidance=w)
        return net(x_t, t, cond).float()
