"""Wraps any network so that it answers in x0: `(x_t, t, cond) -> x0`, t in [0, 1] for every family.

What the network predicts is converted here and in `schedule.py`, nowhere else; so are dtype and attention chosen here.
Each family's own wrapper, and what else is particular to its network, is in its file (`models/families/`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import pi
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models.schedule import (
    Flow,
    Prediction,
    Schedule,
    Trig,
    flow_input,
    flow_time,
    like,
    to_x0,
    trig_from_flow,
    trig_time,
)

ATTENTION = ("auto", "sdpa", "xformers")


@dataclass(frozen=True)
class Cond:
    """What a picture is asked for. Rows are samples; `mask` is True where a token counts."""

    tokens: Tensor  # [B, L, D]
    mask: Tensor  # [B, L] bool
    guidance: Tensor | None = None  # [B], for networks that take their guidance as an input
    camera: Tensor | None = None  # [B, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def map(self, f) -> "Cond":
        """Apply f to every tensor that is there (indexing, moving, repeating)."""
        return replace(self, **{k: f(v) for k, v in vars(self).items() if v is not None})


def padded(cond: Cond, length: int) -> Cond:
    """As many tokens as `length`; those added don't count."""
    more = length - cond.tokens.shape[1]
    pad = nn.functional.pad
    return replace(cond, tokens=pad(cond.tokens, (0, 0, 0, more)), mask=pad(cond.mask, (0, more)))


def cat(a: Cond, b: Cond) -> Cond:
    """Two batches as one, the shorter prompts padded."""
    length = max(a.tokens.shape[1], b.tokens.shape[1])
    first, second = (vars(padded(cond, length)) for cond in (a, b))
    given = [k for k, v in first.items() if v is not None]
    assert given == [k for k, v in second.items() if v is not None], "or one would lose what it is told"
    return Cond(**{k: torch.cat([first[k], second[k]]) for k in given})


@dataclass(frozen=True)
class Features:
    """Modules of a network, and how wide what they answer with is. `kernel`: of heads on maps of a picture, or 1."""

    modules: list[nn.Module]
    channels: list[int]
    kernel: int


class Denoiser(nn.Module):
    """A network with its prediction kind and schedule. Call it for x0; `predict` gives the network's own answer.

    dtype: in which it computes, remembered, as weights that are quantised are stored in another.
    """

    prediction: Prediction
    schedule: Schedule
    network: Any

    def __init__(self, network: nn.Module | None, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.network, self.dtype = network, dtype

    @property
    def takes_guidance(self) -> bool:
        """Whether the guidance scale is an input of the network (`cond.guidance`)."""
        return False

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        raise TypeError(f"{type(self).__name__} must say how its network is called")

    def route(self, cond: Cond) -> list[int] | None:
        """Which of several students answers each row; None where there is one."""
        return None

    # What distillers ask of a family's network

    folder = ""  # where a pipeline of diffusers keeps it
    targets: Sequence[str] = ()  # layers that a LoRA goes on
    few_steps = True  # whether students are served that go to x0 and back to noise
    lora = True  # whether adapters are served
    several = True  # whether several small students are served in its place

    def with_guidance(self) -> "Denoiser":
        """A copy whose network takes its guidance as an input that has no effect yet."""
        raise TypeError(f"{type(self).__name__} has no network with a guidance input")

    def with_camera(self) -> "Denoiser":
        """The same, that can be told the camera, which has no effect yet."""
        raise TypeError(f"{type(self).__name__} has no input for a camera")

    def smaller(self, width: float) -> "Denoiser":
        """A new one whose layers are `width` times as wide."""
        raise TypeError(f"{type(self).__name__} has no smaller network")

    def features(self, blocks: Sequence[int]) -> "Features":
        """Where a discriminator looks into it. `blocks`: which, of a network of equal ones."""
        raise TypeError(f"{type(self).__name__} has no features to look at")

    @property
    def token_width(self) -> int:
        """Numbers in each token of a prompt."""
        raise TypeError(f"{type(self).__name__} must say what its prompts are")

    def save(self, home: Path, folder: str = "") -> None:
        """The network, in half precision, in its usual folder of `home` or in this one."""
        self.network.half().save_pretrained(home / (folder or self.folder))

    def forward(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        return to_x0(self.prediction, self.schedule, x_t, self.predict(x_t, t, cond), t)


def strength(guidance: float, full: float) -> float:
    """How strongly an adapter that has guidance folded in acts: off at 1, as it is at `full`."""
    return (guidance - 1) / (full - 1)


class TrigFlow(Denoiser):
    """A flow denoiser seen as TrigFlow, exactly and without training (SANA-Sprint, Sec. 3.1)."""

    prediction: Prediction = "trigflow"
    schedule = Trig()
    few_steps = lora = False

    def __init__(self, flow: "Predicts"):
        assert flow.prediction == "flow"
        super().__init__(getattr(flow, "network", None))  # the exact teacher of the 2-D mixture has none
        self.flow, self.folder = flow, getattr(flow, "folder", "")

    @property
    def takes_guidance(self) -> bool:
        return getattr(self.flow, "takes_guidance", False)

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        s = flow_time(t)
        x_flow = flow_input(x_t, s)
        return trig_from_flow(x_flow, self.flow.predict(x_flow, s, cond), s)

    def save(self, home: Path, folder: str = "") -> None:
        assert isinstance(self.flow, Denoiser), "the exact teacher of the 2-D mixture has nothing to save"
        self.flow.save(home, folder)


def angle(t: Tensor) -> Tensor:
    """TrigFlow's own time, in radians, from t in [0, 1]."""
    return t * (pi / 2)


class AnswersX0(Protocol):
    """A Denoiser, or anything else that is called like one."""

    @property
    def schedule(self) -> Schedule: ...

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor: ...


class Predicts(AnswersX0, Protocol):
    """A Denoiser, or the exact teacher of the 2-D mixture: `predict` gives what a network would say."""

    @property
    def prediction(self) -> Prediction: ...

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor: ...


def on_schedule(denoiser: AnswersX0, schedule: Schedule) -> Callable[[Tensor, Tensor, Cond], Tensor]:
    """The denoiser for samples of another schedule: x_t is scaled, t moved, to where the signal to noise is equal.

    Flow and TrigFlow convert into each other. Raises ValueError for other pairs.
    """
    if denoiser.schedule == schedule:
        return denoiser
    pair = type(denoiser.schedule), type(schedule)
    if pair == (Flow, Trig):
        return lambda x_t, t, cond: denoiser(flow_input(x_t, flow_time(t)), flow_time(t), cond)
    if pair == (Trig, Flow):
        return lambda x_t, t, cond: denoiser(x_t / like(((1 - t) ** 2 + t**2).sqrt(), x_t), trig_time(t), cond)
    raise ValueError(f"a {pair[0].__name__} denoiser can't take over from {pair[1].__name__}; valid: Flow and Trig")


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises ValueError for a device that isn't there."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    valid = ["auto", "cpu", *(["cuda"] if gpus else []), *gpus]
    if name not in valid:
        raise ValueError(f"device {name!r} is not here; valid: {', '.join(valid)}")
    return torch.device(("cuda" if gpus else "cpu") if name == "auto" else name)


def pick_dtype(device: torch.device) -> torch.dtype:
    """bf16 on a GPU that has it, as SANA was trained; fp32 on a CPU.

    On a CPU with AVX512-BF16 bf16 took an eighth off one picture's time, and made pictures depend on the machine.
    """
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def check_attention(how: str, device: torch.device) -> None:
    """Raises ValueError for an unknown kernel of attention, and for xformers off CUDA or not installed."""
    if how not in ATTENTION:
        raise ValueError(f"attention {how!r}; valid: {', '.join(ATTENTION)}")
    if how == "xformers" and device.type != "cuda":
        raise ValueError("xformers runs on CUDA only; valid on this device: auto, sdpa")
    if how == "xformers" and find_spec("xformers") is None:
        raise ValueError("xformers is not installed; valid without it: auto, sdpa")


def set_attention(network: Any, how: str, device: torch.device, linear: str = "") -> str | None:
    """Choose the kernel of softmax attention, where `check_attention` allows it; returns a sentence where the choice
    does not apply, for the reason `linear`. `auto` and `sdpa` are torch's own.
    """
    check_attention(how, device)
    if how != "xformers":
        return None
    if linear:
        return f"xformers does not apply: {linear}"
    network.enable_xformers_memory_efficient_attention()
    return None
