"""Half precision on a CPU: bfloat16, where the processor computes with it. No torch at import.

The denoiser's networks and the decoder compute in it; prompts are encoded, and x_t is stepped, in single precision. The
picture differs a little, so precision is a field of the request. torch computes it by autocast, and OpenVINO by a
network that is compiled for it (models/openvino.py).
"""

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.machine import processor

if TYPE_CHECKING:
    from torch import Tensor

    from models.denoiser import Cond
    from models.schedule import Schedule

SINGLE, HALF = "f32", "bf16"
INSTRUCTIONS = ("amx_bf16", "avx512_bf16")  # of processors that multiply bfloat16


def precisions() -> list[str]:
    """The precisions that this processor can compute in."""
    return [SINGLE, HALF] if any(name in processor().flags for name in INSTRUCTIONS) else [SINGLE]


def computing(precision: str) -> contextlib.AbstractContextManager:
    """Within: networks compute in this precision. Not to be held where a generator yields."""
    import torch

    return torch.autocast("cpu", torch.bfloat16) if precision == HALF else contextlib.nullcontext()


def current() -> str:
    """The precision of the block that runs."""
    import torch

    half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return HALF if half else SINGLE


@dataclass(frozen=True)
class Precise:
    """A denoiser whose calls compute in this precision."""

    net: Any
    precision: str

    @property
    def schedule(self) -> "Schedule":
        return self.net.schedule

    @property
    def takes_guidance(self) -> bool:
        return getattr(self.net, "takes_guidance", False)

    def __call__(self, x_t: "Tensor", t: "Tensor", cond: "Cond") -> "Tensor":
        with computing(self.precision):
            return self.net(x_t, t, cond).float()
