"""Classifier-free guidance, and the turn of a network in a step. Pure; pictures, distillers and text to 3D share it.

Guidance belongs to the turn, not to the run: a base that takes a step in its student's run has the base's guidance.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.denoiser import AnswersX0, Cond, cat, on_schedule
from models.schedule import Schedule, like

Change = Callable[[Cond, Schedule, Tensor], Cond]  # of what is asked, at times t [B]
Answers = Callable[[Tensor, Tensor, Cond], Tensor]  # (x_t, t, cond) -> x0, or a network's own prediction


def guided(net: Answers, x_t: Tensor, t: Tensor, cond: Cond, null: Cond, scale: Tensor | float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022, Eq. 6), both halves in one call; [B, ...] in fp32.

    scale: [B] or one number. At 1 the result is the conditional answer, and the empty prompt `null` is not computed.
    Guidance is linear in the answer, so it is the same for x0 and for a network's own prediction.
    """
    if isinstance(scale, float | int) and scale == 1:
        return net(x_t, t, cond).float()
    both = cat(replace(null, guidance=None), replace(cond, guidance=None))
    empty, conditional = net(torch.cat([x_t, x_t]), t.repeat(2), both).float().chunk(2)
    w = torch.as_tensor(scale, device=x_t.device).expand(len(x_t)).float()
    return torch.lerp(empty, conditional, like(w, x_t))  # exactly the conditional answer where the scale is 1


@dataclass(frozen=True)
class Turn:
    """The network that denoises a step, and its guidance scale `w`.

    The scale is an input of the network where it has a guidance input, else that of classifier-free guidance. With None
    there is no guidance, and a network with a guidance input uses the one in `cond`.
    """

    net: AnswersX0
    w: float | Tensor | None = None
    painter: str = ""  # id of the model
    prompts: tuple[Change, ...] = ()  # applied to the condition, one after the other
    after: tuple[Callable[[Tensor], Tensor], ...] = ()  # applied to x0, one after the other

    @property
    def needs_null(self) -> bool:
        """Whether it also needs the empty prompt."""
        if self.w is None or getattr(self.net, "takes_guidance", False):
            return False
        return isinstance(self.w, Tensor) or self.w > 1

    @property
    def calls(self) -> int:
        """Calls of the network for one step."""
        return 2 if self.needs_null else 1

    def x0(self, schedule: Schedule, x_t: Tensor, t: Tensor, cond: Cond, null: Cond | None) -> Tensor:
        """x0 [B, ...] in fp32, for samples x_t of this schedule at times t [B]."""
        answer = self._answer(schedule, x_t, t, cond, null)
        for change in self.after:
            answer = change(answer)
        return answer

    def _answer(self, schedule: Schedule, x_t: Tensor, t: Tensor, cond: Cond, null: Cond | None) -> Tensor:
        net = on_schedule(self.net, schedule)
        for change in self.prompts:
            cond = change(cond, schedule, t)
        if self.needs_null:
            assert null is not None and self.w is not None, "callers give `null` where `needs_null` is true"
            return guided(net, x_t, t, cond, null, self.w)
        if self.w is not None and getattr(self.net, "takes_guidance", False):
            w = self.w if isinstance(self.w, Tensor) else torch.full_like(t, self.w)
            cond = replace(cond, guidance=w)
        return net(x_t, t, cond).float()
